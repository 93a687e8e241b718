/* access_use.c - who reads by which verdict, and is held while it is in doubt.
 *
 * Invariants: while a grant is held, so is the stream of every reader of it. Before a reader's
 * topic is revoked its use is gone: what the transport does then (its client may leave) finds
 * nothing half done. */
#include <stdlib.h>

#include "handlers/access_int.h"
#include "util/json.h"

/* ---- holding ---- */

static void hold_reader(const struct tg_access *a, struct reader *r)
{
    if (r->n_held++ == 0 && r->client->stream != NULL) {
        tg_count_add(&a->w->counts.access_held, 1);
        tg_stream_hold(r->client->stream, TG_HOLD_ACCESS);
    }
}

static void release_reader(struct reader *r)
{
    if (--r->n_held == 0 && r->client->stream != NULL) {
        tg_stream_release(r->client->stream, TG_HOLD_ACCESS);
    }
}

void access_hold(struct grant *g)
{
    if (g->is_held) {
        return;
    }
    g->is_held = true;
    for (struct tg_list *n = g->uses.next; n != &g->uses; n = n->next) {
        hold_reader(g->a, TG_CONTAINER_OF(n, struct use, at_grant)->reader);
    }
}

void access_release(struct grant *g)
{
    if (!g->is_held) {
        return;
    }
    g->is_held = false;
    for (struct tg_list *n = g->uses.next; n != &g->uses; n = n->next) {
        release_reader(TG_CONTAINER_OF(n, struct use, at_grant)->reader);
    }
}

/* ---- reading ---- */

static tg_str address_of(struct tg_client *const *c)
{
    return tg_str_make((const char *)c, sizeof(struct tg_client *));
}

static struct reader *find_reader(const struct tg_access *a, struct tg_client *c)
{
    return tg_map_find(&a->readers, address_of(&c));
}

static struct use *find_use(const struct reader *r, tg_str name)
{
    for (struct tg_list *n = r->uses.next; n != &r->uses; n = n->next) {
        struct use *u = TG_CONTAINER_OF(n, struct use, at_reader);

        if (tg_str_eq(u->grant->topic->name.name, name)) {
            return u;
        }
    }
    return NULL;
}

void tg_access_follow(struct tg_access *a, struct tg_client *c, struct tg_token *token,
                      const struct tg_topic_name *name)
{
    struct reader *r = NULL;
    struct use *u = NULL;

    if (!tg_access_is_asked(name)) {
        return;
    }
    r = find_reader(a, c);
    if (r == NULL) {
        r = TG_NEW(struct reader);
        r->client = c;
        tg_list_init(&r->uses);
        (void)tg_map_put(&a->readers, address_of(&c), r);
    }
    if (find_use(r, name->name) != NULL) {
        return;
    }
    u = TG_NEW(struct use);
    u->reader = r;
    u->grant = access_grant_of(a, token, name);
    access_need(u->grant);
    tg_list_append(&u->grant->uses, &u->at_grant);
    tg_list_append(&r->uses, &u->at_reader);
    if (u->grant->is_held) {
        hold_reader(a, r);
    } else if (u->grant->verdict != YES) {
        /* It was forgotten, or something changed, between the answer and here. */
        access_hold(u->grant);
        access_send(u->grant);
    } else if (!u->grant->is_asking && !tg_timer_is_on(&u->grant->timer)) {
        access_plan_recheck(u->grant);
    }
}

/* Takes it off its lists. */
static void drop_use(struct use *u)
{
    struct grant *g = u->grant;

    tg_list_remove(&u->at_grant);
    tg_list_remove(&u->at_reader);
    free(u);
    access_settle(g);
}

static void forget_reader(struct tg_access *a, struct reader *r)
{
    (void)tg_map_remove(&a->readers, address_of(&r->client));
    free(r);
}

void tg_access_unfollow(struct tg_access *a, struct tg_client *c, tg_str name)
{
    struct reader *r = find_reader(a, c);
    struct use *u = r == NULL ? NULL : find_use(r, name);

    if (u == NULL) {
        return;
    }
    if (u->grant->is_held) {
        release_reader(r);
    }
    drop_use(u);
    if (tg_list_empty(&r->uses)) {
        forget_reader(a, r);
    }
}

void tg_access_leave(struct tg_access *a, struct tg_client *c)
{
    struct reader *r = a == NULL ? NULL : find_reader(a, c);

    if (r == NULL) {
        return;
    }
    while (!tg_list_empty(&r->uses)) {
        drop_use(TG_CONTAINER_OF(r->uses.next, struct use, at_reader));
    }
    forget_reader(a, r);
}

void tg_access_token(struct tg_access *a, struct tg_client *c, struct tg_token *token)
{
    const struct reader *r = a == NULL ? NULL : find_reader(a, c);

    for (struct tg_list *n = r == NULL ? NULL : r->uses.next; r != NULL && n != &r->uses;
         n = n->next) {
        access_take_token(TG_CONTAINER_OF(n, struct use, at_reader)->grant, token);
    }
}

/* One reader less. Its stream goes on when nothing else holds it, without this topic. */
static void revoke_one(struct grant *g, struct use *u)
{
    struct tg_access *a = g->a;
    struct reader *r = u->reader;
    struct tg_client *c = r->client;
    bool was_held = g->is_held;

    tg_list_remove(&u->at_grant);
    tg_list_remove(&u->at_reader);
    free(u);
    tg_count_add(&a->w->counts.access_revoked, 1);
    if (c->stream != NULL) {
        tg_stream_revoke(c->stream, g->topic->name.name,
                         TG_STR("this topic may not be read any more"));
    }
    r = find_reader(a, c);
    if (r == NULL) {
        return; /* its transport has ended it */
    }
    if (was_held) {
        release_reader(r);
    }
    if (tg_list_empty(&r->uses)) {
        forget_reader(a, r);
    }
}

/* Why nothing comes, and that it comes again. */
void access_tell_readers(const struct grant *g, const char *state)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = (size_t)TG_TOPIC_MAX_BYTES * 8};

    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, g->topic->name.name);
    (void)tg_buf_printf(&json, ",\"state\":\"%s\"}", state);
    for (struct tg_list *n = g->uses.next; n != &g->uses; n = n->next) {
        const struct tg_client *c = TG_CONTAINER_OF(n, struct use, at_grant)->reader->client;

        if (c->stream != NULL) {
            (void)tg_stream_tell(c->stream, tg_frame_named(TG_STR("status"), tg_buf_view(&json)));
        }
    }
}

void access_revoke(struct grant *g)
{
    while (!tg_list_empty(&g->uses)) {
        revoke_one(g, TG_CONTAINER_OF(g->uses.next, struct use, at_grant));
    }
    g->is_held = false;
}
