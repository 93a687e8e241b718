/* What an idle WebSocket costs beside its connection and its stream. */
#include <criterion/criterion.h>

#include "handlers/ws_int.h"

Test(ws, is_small_while_it_is_idle)
{
    cr_assert_leq(sizeof(struct ws), 256);
}
