/* The bounded table under the memory. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/lru.h"

struct entry {
    struct tg_lru_node node;
    unsigned n;
};

static void drop_entry(struct tg_lru_node *node)
{
    free(TG_CONTAINER_OF(node, struct entry, node));
}

static struct tg_sha256 key_of(unsigned n)
{
    return tg_sha256(tg_str_make((const char *)&n, sizeof(n)));
}

static bool put(struct tg_lru *l, unsigned n)
{
    struct entry *e = TG_NEW(struct entry);

    e->n = n;
    e->node.key = key_of(n);
    return tg_lru_put(l, &e->node);
}

static bool has(struct tg_lru *l, unsigned n)
{
    struct tg_sha256 key = key_of(n);
    struct tg_lru_node *node = tg_lru_find(l, &key);

    cr_assert(node == NULL || TG_CONTAINER_OF(node, struct entry, node)->n == n);
    return node != NULL;
}

Test(lru, drops_what_was_used_longest_ago)
{
    struct tg_lru l;

    tg_lru_init(&l, 3, drop_entry);
    cr_assert(!put(&l, 1) && !put(&l, 2) && !put(&l, 3));
    cr_assert(has(&l, 1));
    cr_assert(put(&l, 4));
    cr_assert(!has(&l, 2));
    cr_assert(has(&l, 1) && has(&l, 3) && has(&l, 4));
    cr_assert_eq(l.n, 3);
    tg_lru_fini(&l);
}

Test(lru, finds_all_of_many_and_none_that_was_removed)
{
    enum { N = 5000 };
    struct tg_lru l;

    tg_lru_init(&l, N, drop_entry);
    for (unsigned i = 0; i < N; i++) {
        cr_assert(!put(&l, i));
    }
    for (unsigned i = 0; i < N; i += 2) {
        struct tg_sha256 key = key_of(i);

        tg_lru_remove(&l, tg_lru_find(&l, &key));
    }
    cr_assert_eq(l.n, N / 2);
    for (unsigned i = 0; i < N; i++) {
        cr_assert_eq(has(&l, i), i % 2 == 1);
    }
    tg_lru_fini(&l);
}

Test(lru, of_one_entry_replaces_it)
{
    struct tg_lru l;

    tg_lru_init(&l, 1, drop_entry);
    cr_assert(!put(&l, 1));
    cr_assert(put(&l, 2));
    cr_assert(!has(&l, 1) && has(&l, 2));
    tg_lru_fini(&l);
}

Test(lru, what_is_touched_is_the_newest)
{
    struct tg_lru l;

    tg_lru_init(&l, 40, drop_entry);
    for (unsigned i = 1; i <= 40; i++) {
        cr_assert(!put(&l, i));
    }
    tg_lru_touch(&l, TG_CONTAINER_OF(l.order.next, struct tg_lru_node, order));
    for (unsigned i = 2; i <= 40; i++) {
        cr_assert(put(&l, 40 + i));
        cr_assert(!has(&l, i));
    }
    cr_assert(has(&l, 1));
    cr_assert_eq(l.n, 40);
    tg_lru_fini(&l);
}
