/* deny.c - rules by key: a session's alone, a user's in a chain.
 *
 * Invariant: every rule is on `all` and in the chain that the map has under its place, which is
 * the whole key of a session's rule and "u:<user>" of a user's. */
#include "handlers/deny.h"

#include <stdlib.h>

#include "auth/token.h"
#include "util/map.h"

enum { PREFIX = 2 };

struct rule {
    struct tg_list node; /* deny->all */
    struct rule *next;   /* same place */
    tg_str key;
    tg_str place;
    struct tg_deny_rule parts;
    int64_t until_sec;
    char text[];
};

struct tg_deny {
    struct tg_map places;
    struct tg_list all;
    size_t n;
    size_t max;
};

/* ---- keys ---- */

tg_str tg_deny_session_of(const struct tg_token *t)
{
    bool is_sane = t->session_id.n <= TG_SESSION_MAX_BYTES;

    for (size_t i = 0; is_sane && i < t->session_id.n; i++) {
        is_sane = t->session_id.p[i] > 0x20 && t->session_id.p[i] < 0x7F;
    }
    return is_sane ? t->session_id : TG_STR("");
}

void tg_deny_key(const struct tg_deny_rule *rule, struct tg_buf *out)
{
    (void)tg_buf_str(out, rule->is_user ? TG_STR("u:") : TG_STR("s:"));
    (void)tg_buf_str(out, rule->user);
    (void)tg_buf_char(out, ':');
    if (rule->is_user) {
        (void)tg_buf_u64(out, (uint64_t)TG_MAX(rule->before_sec, 0));
        (void)tg_buf_char(out, ':');
    }
    (void)tg_buf_str(out, rule->session);
}

enum tg_rc tg_deny_key_parse(tg_str key, struct tg_deny_rule *ret_rule)
{
    struct tg_deny_rule r = {.is_user = tg_str_has_prefix(key, TG_STR("u:"))};
    uint64_t before = 0;
    tg_str rest = key;

    if (key.n > TG_DENY_KEY_MAX || (!r.is_user && !tg_str_has_prefix(key, TG_STR("s:")))) {
        return TG_ESYNTAX;
    }
    rest = tg_str_skip(key, PREFIX);
    r.user = tg_str_cut(&rest, ':');
    if (r.is_user) {
        if (rest.p == NULL || tg_str_to_u64(tg_str_cut(&rest, ':'), &before) != TG_OK ||
            before > INT64_MAX) {
            return TG_ESYNTAX;
        }
        r.before_sec = (int64_t)before;
    }
    r.session = rest;
    if (r.user.n == 0 || rest.p == NULL || (!r.is_user && rest.n == 0)) {
        return TG_ESYNTAX;
    }
    *ret_rule = r;
    return TG_OK;
}

/* ---- the table ---- */

struct tg_deny *tg_deny_create(size_t max)
{
    struct tg_deny *d = TG_NEW(struct tg_deny);

    TG_ASSERT(max > 0);
    tg_list_init(&d->all);
    d->max = max;
    return d;
}

static void drop(struct tg_deny *d, struct rule *r)
{
    struct rule *head = tg_map_find(&d->places, r->place);

    TG_ASSERT(head != NULL);
    if (head != r) {
        while (head->next != r) {
            head = head->next;
        }
        head->next = r->next;
    } else if (r->next != NULL) {
        (void)tg_map_put(&d->places, r->place, r->next);
    } else {
        (void)tg_map_remove(&d->places, r->place);
    }
    tg_list_remove(&r->node);
    d->n--;
    free(r);
}

void tg_deny_destroy(struct tg_deny *d)
{
    if (d == NULL) {
        return;
    }
    while (!tg_list_empty(&d->all)) {
        drop(d, TG_CONTAINER_OF(d->all.next, struct rule, node));
    }
    tg_map_fini(&d->places);
    free(d);
}

/* What is over leaves; if nothing is, what would leave first. */
static void make_room(struct tg_deny *d, int64_t now_sec)
{
    struct rule *first = NULL;

    for (struct tg_list *n = d->all.next, *next = NULL; n != &d->all; n = next) {
        struct rule *r = TG_CONTAINER_OF(n, struct rule, node);

        next = n->next;
        if (r->until_sec <= now_sec) {
            drop(d, r);
        } else if (first == NULL || r->until_sec < first->until_sec) {
            first = r;
        }
    }
    if (d->n >= d->max) {
        TG_ASSERT(first != NULL);
        drop(d, first);
    }
}

static struct rule *find(const struct tg_deny *d, tg_str place, tg_str key)
{
    struct rule *r = tg_map_find(&d->places, place);

    while (r != NULL && !tg_str_eq(r->key, key)) {
        r = r->next;
    }
    return r;
}

static tg_str place_of(tg_str key, const struct tg_deny_rule *parts)
{
    return parts->is_user ? tg_str_make(key.p, PREFIX + parts->user.n) : key;
}

bool tg_deny_put(struct tg_deny *d, tg_str key, int64_t until_sec, int64_t now_sec)
{
    struct tg_deny_rule parts = {0};
    struct rule *r = NULL;

    if (until_sec <= now_sec || tg_deny_key_parse(key, &parts) != TG_OK) {
        return false;
    }
    r = find(d, place_of(key, &parts), key);
    if (r != NULL) {
        r->until_sec = TG_MAX(r->until_sec, until_sec);
        return false;
    }
    if (d->n >= d->max) {
        make_room(d, now_sec);
    }
    r = tg_calloc(1, sizeof(*r) + key.n);
    memcpy(r->text, key.p, key.n);
    r->key = tg_str_make(r->text, key.n);
    TG_ASSERT(tg_deny_key_parse(r->key, &r->parts) == TG_OK);
    r->place = place_of(r->key, &r->parts);
    r->until_sec = until_sec;
    r->next = tg_map_put(&d->places, r->place, r);
    tg_list_append(&d->all, &r->node);
    d->n++;
    return true;
}

static bool is_meant(const struct rule *r, const struct tg_token *t, tg_str session,
                     int64_t now_sec)
{
    if (r->until_sec <= now_sec) {
        return false;
    }
    return !r->parts.is_user || (t->iat_sec < r->parts.before_sec &&
                                 (session.n == 0 || !tg_str_eq(r->parts.session, session)));
}

/* A place on the stack: every request to an own endpoint is asked about. */
static const struct rule *first_at(const struct tg_deny *d, char kind, tg_str user, tg_str session)
{
    char place[PREFIX + TG_CLASS_ID_CHARS + 1 + TG_SESSION_MAX_BYTES];
    size_t n = PREFIX;

    place[0] = kind;
    place[1] = ':';
    memcpy(place + n, user.p, user.n);
    n += user.n;
    if (session.n > 0) {
        place[n++] = ':';
        memcpy(place + n, session.p, session.n);
        n += session.n;
    }
    return tg_map_find(&d->places, tg_str_make(place, n));
}

static bool any_is_meant(const struct rule *first, const struct tg_token *t, tg_str session,
                         int64_t now_sec)
{
    for (const struct rule *r = first; r != NULL; r = r->next) {
        if (is_meant(r, t, session, now_sec)) {
            return true;
        }
    }
    return false;
}

bool tg_deny_has(const struct tg_deny *d, const struct tg_token *t, int64_t now_sec)
{
    tg_str session = TG_STR_NONE;
    tg_str user = tg_str_make(t->user_id, TG_CLASS_ID_CHARS);

    if (d->n == 0) {
        return false;
    }
    session = tg_deny_session_of(t);
    return (session.n > 0 && any_is_meant(first_at(d, 's', user, session), t, session, now_sec)) ||
           any_is_meant(first_at(d, 'u', user, TG_STR("")), t, session, now_sec);
}

size_t tg_deny_count(const struct tg_deny *d)
{
    return d->n;
}
