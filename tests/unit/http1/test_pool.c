/* test_pool.c - pooled pieces, and the buffers of a connection. */
#include <criterion/criterion.h>

#include "http1/pool.h"

Test(pool, pieces_come_back_and_few_are_kept)
{
    struct tg_pool p;
    void *a = NULL;
    void *b = NULL;

    tg_pool_init(&p, 64, 1);
    a = tg_pool_get(&p);
    b = tg_pool_get(&p);
    cr_assert_neq(a, b);
    tg_pool_put(&p, a);
    cr_assert_eq(p.n_kept, 1);
    tg_pool_put(&p, b);
    cr_assert_eq(p.n_kept, 1);
    tg_pool_put(&p, NULL);
    cr_assert_eq(tg_pool_get(&p), a);
    cr_assert_eq(p.n_kept, 0);
    tg_pool_put(&p, a);
    tg_pool_fini(&p);
}

static void expect(const struct tg_iobuf *b, const char *text)
{
    cr_assert(tg_str_eq(tg_iobuf_view(b), tg_str_of(text)));
}

Test(iobuf, borrowed_bytes_become_owned_when_they_must_stay)
{
    struct tg_pool p;
    char scratch[] = "hello world";
    struct tg_iobuf b = {.p = scratch, .n = sizeof(scratch) - 1};

    tg_pool_init(&p, 64, 4);
    tg_iobuf_skip(&b, 6);
    expect(&b, "world");
    cr_assert_eq(tg_iobuf_space(&b), 0);
    (void)tg_iobuf_room(&p, &b, 0);
    memset(scratch, 'x', sizeof(scratch));
    expect(&b, "world");
    cr_assert_eq(b.cap, 64);
    tg_iobuf_drop(&p, &b);
    cr_assert_eq(p.n_kept, 1);
    tg_pool_fini(&p);
}

Test(iobuf, it_moves_to_the_front_before_it_grows)
{
    struct tg_pool p;
    struct tg_iobuf b = {0};

    tg_pool_init(&p, 8, 4);
    tg_iobuf_append(&p, &b, TG_STR("abcdefgh"));
    tg_iobuf_skip(&b, 5);
    tg_iobuf_append(&p, &b, TG_STR("ijk"));
    expect(&b, "fghijk");
    cr_assert_eq(b.cap, 8);
    cr_assert_eq(p.n_kept, 0);
    tg_iobuf_append(&p, &b, TG_STR("lmnopqrs"));
    expect(&b, "fghijklmnopqrs");
    cr_assert_eq(b.cap, 16);
    cr_assert_eq(p.n_kept, 1, "the pooled piece went back");
    tg_iobuf_append(&p, &b, TG_STR_NONE);
    tg_iobuf_drop(&p, &b);
    cr_assert_eq(p.n_kept, 1, "a larger piece is freed");
    tg_pool_fini(&p);
}
