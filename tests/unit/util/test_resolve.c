/* test_resolve.c - names as addresses; nothing here leaves the machine. */
#include <criterion/criterion.h>

#include "util/resolve.h"

Test(resolve, an_address_is_itself_in_every_attempt)
{
    char address[TG_RESOLVE_MAX];

    for (unsigned attempt = 0; attempt < 5; attempt++) {
        cr_assert(tg_resolve("127.0.0.1", attempt, address));
        cr_assert_str_eq(address, "127.0.0.1");
        cr_assert(tg_resolve("::1", attempt, address));
        cr_assert_str_eq(address, "::1");
    }
}

Test(resolve, a_host_with_two_addresses_gives_both_in_turn)
{
    char first[TG_RESOLVE_MAX];
    char second[TG_RESOLVE_MAX];
    char third[TG_RESOLVE_MAX];

    /* localhost has one or two, as the machine is set up; with one both are the same. */
    cr_assert(tg_resolve("localhost", 0, first));
    cr_assert(tg_resolve("localhost", 1, second));
    cr_assert(tg_resolve("localhost", 2, third));
    cr_assert_str_eq(first, third);
}

Test(resolve, what_is_no_name_is_not_found)
{
    char address[TG_RESOLVE_MAX];

    cr_assert_not(tg_resolve("not a name", 0, address));
}
