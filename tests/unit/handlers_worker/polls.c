/* polls.c - see polls.h. */
#include "polls.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"

void poll_begin(struct given *g, const char *target)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *token = mint_hs(claims);

    *g = (struct given){.value = bearer(token)};
    fleet_make(&g->fleet, 1, keys);
    g->fleet.opts.poll_next = TG_SEC(30);
    g->fleet.opts.poll_bytes = 1000;
    request_make(&g->r, TG_GET, target);
    request_field(&g->r, "Authorization", g->value);
    tg_keys_unref(keys);
    free(claims);
    free(token);
    stream_seen.cursor = "e.9-0";
}

void poll_start(struct given *g)
{
    tg_poll_start(tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req));
}

void poll_drop(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    free(g->value);
}

void poll_finish(struct given *g)
{
    request_gone(&g->r);
    poll_drop(g);
}

void poll_has(const struct given *g, const char *field)
{
    cr_assert_not_null(strstr(g->r.conn.fields, field), "%s not in\n%s", field, g->r.conn.fields);
}

void poll_answered(const struct given *g, unsigned status, const char *body)
{
    cr_assert_eq(g->r.conn.n_answers, 1);
    cr_assert_eq(g->r.conn.status, status, "%u %s", g->r.conn.status, g->r.conn.body);
    cr_assert_str_eq(g->r.conn.body, body);
}
