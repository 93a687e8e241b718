/* What is in a ticket. */
#include <criterion/criterion.h>

#include "auth/seal.h"
#include "auth/token.h"
#include "handlers/ticket.h"

#define SECRET TG_STR("0123456789abcdef0123456789abcdef")

enum { MADE = 5000000, MAX = 32 * 1024 };

/* Of the running test. */
static struct tg_seal *ticket_seal, *control_seal;

static struct tg_handler_opts opts(void)
{
    ticket_seal = tg_seal_create(SECRET, TG_STR("ticket"));
    control_seal = tg_seal_create(SECRET, TG_STR("control"));
    return (struct tg_handler_opts){
        .ticket_seal = ticket_seal, .control_seal = control_seal, .ticket_life = TG_SEC(30)};
}

static void opts_fini(void)
{
    tg_seal_destroy(ticket_seal);
    tg_seal_destroy(control_seal);
}

Test(ticket, holds_the_token_and_a_number_of_its_own)
{
    struct tg_handler_opts o = opts();
    TG_CLEANUP(tg_buf_fini) struct tg_buf a = {.max = MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {.max = MAX};
    struct tg_arena arena = {0};
    struct tg_ticket ta = {0};
    struct tg_ticket tb = {0};

    cr_assert_eq(tg_ticket_make(&o, TG_STR("a.b.c"), MADE, &a), TG_OK);
    cr_assert_eq(tg_ticket_make(&o, TG_STR("a.b.c"), MADE, &b), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&a), MADE, &arena, &ta), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&b), MADE, &arena, &tb), TG_OK);
    cr_assert(tg_str_eq(ta.token, TG_STR("a.b.c")) && tg_str_eq(tb.token, TG_STR("a.b.c")));
    cr_assert_eq(ta.id.n, TG_TICKET_ID_CHARS);
    cr_assert_not(tg_str_eq(ta.id, tb.id));
    for (size_t i = 0; i < a.n; i++) {
        cr_assert(strchr("+/=&?# ", a.p[i]) == NULL, "it stands in a URL as it is");
    }
    tg_arena_drop(&arena);
    opts_fini();
}

Test(ticket, is_good_for_its_life_only)
{
    struct tg_handler_opts o = opts();
    TG_CLEANUP(tg_buf_fini) struct tg_buf a = {.max = MAX};
    struct tg_arena arena = {0};
    struct tg_ticket t = {0};

    cr_assert_eq(tg_ticket_make(&o, TG_STR("a.b.c"), MADE, &a), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&a), MADE + TG_SEC(30) - 1, &arena, &t), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&a), MADE + TG_SEC(30), &arena, &t), TG_ETICKET);
    tg_arena_drop(&arena);
    opts_fini();
}

Test(ticket, is_nothing_else_that_was_sealed)
{
    struct tg_handler_opts o = opts();
    TG_CLEANUP(tg_buf_fini) struct tg_buf control = {.max = MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf small = {.max = MAX};
    struct tg_arena arena = {0};
    struct tg_ticket t = {0};

    cr_assert_eq(tg_seal_wrap(o.control_seal, TG_STR("a.b.c"), UINT64_MAX, &control), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&control), MADE, &arena, &t), TG_EBADTOKEN);
    cr_assert_eq(tg_seal_wrap(o.ticket_seal, TG_STR("short"), UINT64_MAX, &small), TG_OK);
    cr_assert_eq(tg_ticket_open(&o, tg_buf_view(&small), MADE, &arena, &t), TG_EBADTOKEN);
    cr_assert_eq(tg_ticket_open(&o, TG_STR("x"), MADE, &arena, &t), TG_EBADTOKEN);
    tg_arena_drop(&arena);
    opts_fini();
}

Test(ticket, takes_the_largest_token)
{
    struct tg_handler_opts o = opts();
    TG_CLEANUP(tg_buf_fini) struct tg_buf a = {.max = MAX};
    char *token = tg_malloc(TG_TOKEN_MAX_BYTES);

    memset(token, 'a', TG_TOKEN_MAX_BYTES);
    cr_assert_eq(tg_ticket_make(&o, tg_str_make(token, TG_TOKEN_MAX_BYTES), MADE, &a), TG_OK);
    cr_assert_lt(a.n, 12 * 1024, "fits into limits.target_bytes");
    free(token);
    opts_fini();
}
