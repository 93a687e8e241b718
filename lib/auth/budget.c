/* budget.c - GCRA: `full_at` is when the bucket of an address is full again. */
#include "auth/budget.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

struct bucket {
    struct tg_lru_node node;
    tg_usec full_at;
};

static void drop_bucket(struct tg_lru_node *node)
{
    free(TG_CONTAINER_OF(node, struct bucket, node));
}

void tg_budget_init(struct tg_budget *b, size_t max_addresses, uint32_t per_sec, uint32_t burst)
{
    TG_ASSERT(per_sec > 0 && burst > 0);
    tg_lru_init(&b->addresses, max_addresses, drop_bucket);
    b->interval = TG_MAX(TG_SEC(1) / per_sec, 1U);
    b->depth = b->interval * burst;
}

void tg_budget_fini(struct tg_budget *b)
{
    tg_lru_fini(&b->addresses);
}

/* IPv4 whole (mapped or not), IPv6 by its first 64 bits, anything else by its text. */
static struct tg_sha256 key_of(tg_str address)
{
    struct tg_sha256 key = {{0}};
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;

    if (address.n > 0 && address.n < sizeof(text)) {
        memcpy(text, address.p, address.n);
        text[address.n] = '\0';
        if (inet_pton(AF_INET, text, &key.b[1]) == 1) {
            key.b[0] = 4;
            return key;
        }
        if (inet_pton(AF_INET6, text, &v6) == 1) {
            bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6);

            key.b[0] = is_mapped ? 4 : 6;
            memcpy(&key.b[1], is_mapped ? &v6.s6_addr[12] : &v6.s6_addr[0], is_mapped ? 4 : 8);
            return key;
        }
    }
    return tg_sha256(address);
}

bool tg_budget_take(struct tg_budget *b, tg_str address, tg_usec now)
{
    struct tg_sha256 key = key_of(address);
    struct tg_lru_node *node = tg_lru_find(&b->addresses, &key);
    struct bucket *bucket = NULL;

    if (node == NULL) {
        bucket = TG_NEW(struct bucket);
        bucket->node.key = key;
        (void)tg_lru_put(&b->addresses, &bucket->node);
    } else {
        bucket = TG_CONTAINER_OF(node, struct bucket, node);
    }
    /* Full, or full later than a bucket ever can be: the clock was set back. */
    if (bucket->full_at <= now || bucket->full_at - now > b->depth) {
        bucket->full_at = now;
    }
    if (bucket->full_at - now + b->interval > b->depth) {
        return false;
    }
    bucket->full_at += b->interval;
    return true;
}
