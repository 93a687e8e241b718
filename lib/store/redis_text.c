/* redis_text.c - keys and commands as text. */
#include "store/redis_text.h"

#include <hiredis/hiredis.h>

#include "store/redis_device.h"
#include "store/redis_index.h"

enum { LAYOUT = 1, MAX_GAPS = 512 };

/* ---- keys ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == ':' || c == '|';
}

/* One part of a key: braces would change the hash tag, controls the operator's terminal. */
static void put_part(struct tg_buf *b, tg_str part)
{
    for (size_t i = 0; i < part.n; i++) {
        if (is_plain(part.p[i])) {
            (void)tg_buf_char(b, part.p[i]);
        } else {
            (void)tg_buf_printf(b, "%%%02X", (unsigned)(unsigned char)part.p[i]);
        }
    }
}

void tg_redis_put_part(struct tg_buf *b, tg_str part)
{
    for (size_t i = 0; i < part.n; i++) {
        if (part.p[i] == ':') {
            (void)tg_buf_str(b, TG_STR("%3A"));
        } else {
            put_part(b, tg_str_make(part.p + i, 1));
        }
    }
}

static tg_str make_key(struct tg_arena *a, tg_str base, tg_str kind, tg_str name)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {0};

    tg_buf_init(&b, base.n + kind.n + 3 * name.n + 1);
    (void)tg_buf_str(&b, base);
    (void)tg_buf_str(&b, kind);
    put_part(&b, name);
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    return tg_arena_str(a, tg_buf_view(&b));
}

void tg_redis_keys_init(struct tg_redis_keys *k, tg_str prefix)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {0};

    *k = (struct tg_redis_keys){0};
    tg_buf_init(&b, 3 * prefix.n + 32);
    (void)tg_buf_char(&b, '{');
    put_part(&b, prefix);
    (void)tg_buf_printf(&b, "}:%d:", LAYOUT);
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    k->base = tg_arena_str(&k->arena, tg_buf_view(&b));
    k->meta = make_key(&k->arena, k->base, TG_STR("epoch"), TG_STR(""));
    k->log = make_key(&k->arena, k->base, TG_STR("log"), TG_STR(""));
    k->floors = make_key(&k->arena, k->base, TG_STR("f"), TG_STR(""));
    k->gaps = make_key(&k->arena, k->base, TG_STR("g:"), TG_STR(""));
    k->deny = make_key(&k->arena, k->base, TG_STR("deny"), TG_STR(""));
    k->fence = make_key(&k->arena, k->base, TG_STR("fence"), TG_STR(""));
}

void tg_redis_keys_fini(struct tg_redis_keys *k)
{
    tg_arena_drop(&k->arena);
}

/* ---- commands ---- */

static void grow(struct tg_redis_args *a)
{
    int max = a->max == 0 ? 24 : 2 * a->max;
    const char **argv = tg_arena_alloc(&a->arena, (size_t)max * sizeof(*argv));
    size_t *lengths = tg_arena_alloc(&a->arena, (size_t)max * sizeof(*lengths));

    for (int i = 0; i < a->n; i++) {
        argv[i] = a->argv[i];
        lengths[i] = a->lengths[i];
    }
    a->argv = argv;
    a->lengths = lengths;
    a->max = max;
}

void tg_redis_arg(struct tg_redis_args *a, tg_str text)
{
    if (a->n == a->max) {
        grow(a);
    }
    a->argv[a->n] = text.p == NULL ? "" : text.p;
    a->lengths[a->n] = text.n;
    a->n++;
}

void tg_redis_arg_u64(struct tg_redis_args *a, uint64_t n)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 32);
    (void)tg_buf_u64(&b, n);
    tg_redis_arg(a, tg_arena_str(&a->arena, tg_buf_view(&b)));
    tg_buf_fini(&b);
}

static void arg_pos(struct tg_redis_args *a, struct tg_pos pos)
{
    char text[TG_POS_MAX + 1];
    size_t n = tg_pos_format(pos, text);

    tg_redis_arg(a, tg_arena_str(&a->arena, tg_str_make(text, n)));
}

/* The name of a lane in the hash of floors: the key without its base. */
static void arg_field(struct tg_redis_args *a, tg_str kind, tg_str name)
{
    char *field = tg_arena_alloc(&a->arena, kind.n + name.n + 1);

    memcpy(field, kind.p, kind.n);
    if (name.n != 0) {
        memcpy(field + kind.n, name.p, name.n);
    }
    tg_redis_arg(a, tg_str_make(field, kind.n + name.n));
}

void tg_redis_arg_key(struct tg_redis_args *a, const struct tg_redis_keys *k, tg_str kind,
                      tg_str name)
{
    tg_redis_arg(a, make_key(&a->arena, k->base, kind, name));
}

tg_str tg_redis_args_format(struct tg_redis_args *a)
{
    char *text = NULL;
    long long n = redisFormatCommandArgv(&text, a->n, a->argv, a->lengths);

    TG_ASSERT(n > 0 && text != NULL);
    tg_arena_drop(&a->arena);
    *a = (struct tg_redis_args){0};
    return tg_str_make(text, (size_t)n);
}

void tg_redis_wire_free(tg_str wire)
{
    union {
        const char *borrowed;
        char *owned;
    } u = {.borrowed = wire.p};

    redisFreeCommand(u.owned);
}

bool tg_redis_login(const struct tg_redis_url *u, unsigned step, struct tg_redis_args *a)
{
    if (step == 0 && u->password != NULL) {
        tg_redis_arg(a, TG_STR("AUTH"));
        if (u->user != NULL) {
            tg_redis_arg(a, tg_str_of(u->user));
        }
        tg_redis_arg(a, tg_str_of(u->password));
        return true;
    }
    if (step == 1 && u->db != 0) {
        tg_redis_arg(a, TG_STR("SELECT"));
        tg_redis_arg_u64(a, u->db);
        return true;
    }
    return false;
}

void tg_redis_begin(struct tg_redis_args *a, tg_str sha, unsigned n_keys)
{
    tg_redis_arg(a, TG_STR("EVALSHA"));
    tg_redis_arg(a, sha);
    tg_redis_arg_u64(a, n_keys);
}

static tg_str epoch_text(const struct tg_epoch *e)
{
    return tg_str_make(e->text, strnlen(e->text, TG_EPOCH_MAX));
}

static void arg_u64_if(struct tg_redis_args *a, bool is_there, uint64_t n)
{
    if (is_there) {
        tg_redis_arg_u64(a, n);
    } else {
        tg_redis_arg(a, TG_STR(""));
    }
}

/* An event's key belongs to its topic, a key alone to nobody: "o:<topic>:<key>". */
static void arg_once_key(struct tg_redis_args *a, const struct tg_redis_keys *k,
                         const struct tg_ask *ask)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {0};

    tg_buf_init(&b, k->base.n + 3 * (ask->topic.n + ask->once.n) + 4);
    (void)tg_buf_str(&b, k->base);
    (void)tg_buf_str(&b, TG_STR("o:"));
    tg_redis_put_part(&b, ask->topic);
    (void)tg_buf_char(&b, ':');
    tg_redis_put_part(&b, ask->once);
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    tg_redis_arg(a, tg_arena_str(&a->arena, tg_buf_view(&b)));
}

static tg_str once_command(const struct tg_redis_keys *k, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_arg(&a, TG_STR("SET"));
    arg_once_key(&a, k, ask);
    tg_redis_arg(&a, TG_STR("1"));
    tg_redis_arg(&a, TG_STR("NX"));
    tg_redis_arg(&a, TG_STR("PX"));
    tg_redis_arg_u64(&a, ask->ttl / 1000);
    return tg_redis_args_format(&a);
}

static tg_str append_command(const struct tg_redis_keys *k, const struct tg_store_opts *o,
                             tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};
    bool is_gap = ask->verb == TG_VERB_GAP;
    tg_str kind = is_gap ? TG_STR("g:") : TG_STR("t:");
    tg_str name = is_gap ? ask->feed : ask->topic;

    tg_redis_begin(&a, sha, 4 + (ask->feed.n != 0) + (ask->index_pk.n != 0) + (ask->once.n != 0));
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    tg_redis_arg_key(&a, k, kind, name);
    tg_redis_arg(&a, k->floors);
    if (ask->feed.n != 0) {
        tg_redis_arg_key(&a, k, TG_STR("lease:"), ask->feed);
    }
    if (ask->index_pk.n != 0) {
        tg_redis_arg_key(&a, k, TG_STR("pk:"), ask->feed);
    }
    if (ask->once.n != 0) {
        arg_once_key(&a, k, ask);
    }
    tg_redis_arg(&a, epoch_text(&ask->epoch));
    arg_u64_if(&a, ask->feed.n != 0, ask->fence);
    tg_redis_arg(&a, is_gap ? TG_STR("g") : TG_STR("e"));
    tg_redis_arg(&a, name);
    tg_redis_arg(&a, ask->payload);
    arg_field(&a, kind, name);
    /* A gap is told as long as any topic of its feed may keep events. */
    tg_redis_arg_u64(&a, (is_gap ? tg_store_max_retain(o) : tg_store_retain_for(o, ask)) / 1000);
    tg_redis_arg_u64(&a, is_gap ? MAX_GAPS : tg_store_retain_events(o, ask));
    tg_redis_arg_u64(&a, o->log_events);
    arg_u64_if(&a, ask->once.n != 0, ask->ttl / 1000);
    tg_redis_arg(&a, ask->index_pk);
    tg_redis_arg(&a, ask->index_put);
    tg_redis_arg_u64(&a, TG_INDEX_TTL / 1000);
    return tg_redis_args_format(&a);
}

static tg_str control_command(const struct tg_redis_keys *k, const struct tg_store_opts *o,
                              tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 2);
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    tg_redis_arg(&a, epoch_text(&ask->epoch));
    tg_redis_arg(&a, ask->payload);
    tg_redis_arg_u64(&a, o->log_events);
    return tg_redis_args_format(&a);
}

static tg_str deny_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 1);
    tg_redis_arg(&a, k->deny);
    if (ask->verb == TG_VERB_DENY) {
        tg_redis_arg(&a, TG_STR("add"));
        tg_redis_arg(&a, ask->once);
        tg_redis_arg_u64(&a, (uint64_t)ask->until_sec);
    } else {
        tg_redis_arg(&a, TG_STR("list"));
    }
    tg_redis_arg_u64(&a, TG_DENIED_MAX);
    return tg_redis_args_format(&a);
}

static tg_str page_command(const struct tg_redis_keys *k, const struct tg_store_opts *o, tg_str sha,
                           const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, ask->feed.n == 0 ? 5 : 6);
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    tg_redis_arg_key(&a, k, TG_STR("t:"), ask->topic);
    tg_redis_arg(&a, k->floors);
    tg_redis_arg(&a, k->gaps);
    if (ask->feed.n != 0) {
        tg_redis_arg_key(&a, k, TG_STR("g:"), ask->feed);
    }
    tg_redis_arg(&a, epoch_text(&ask->epoch));
    arg_pos(&a, ask->after);
    arg_pos(&a, ask->up_to);
    tg_redis_arg_u64(&a, ask->max_entries);
    tg_redis_arg_u64(&a, tg_store_retain_for(o, ask) / 1000);
    arg_field(&a, TG_STR("t:"), ask->topic);
    tg_redis_arg(&a, TG_STR("g:"));
    if (ask->feed.n != 0) {
        arg_field(&a, TG_STR("g:"), ask->feed);
    }
    return tg_redis_args_format(&a);
}

static tg_str lane_command(const struct tg_redis_keys *k, const struct tg_store_opts *o, tg_str sha,
                           const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 3);
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    tg_redis_arg_key(&a, k, TG_STR("t:"), ask->topic);
    arg_pos(&a, ask->after);
    tg_redis_arg_u64(&a, TG_LANE_MAX);
    tg_redis_arg_u64(&a, tg_store_retain_for(o, ask) / 1000);
    return tg_redis_args_format(&a);
}

static tg_str lease_command(const struct tg_redis_keys *k, const struct tg_store_opts *o,
                            tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 2);
    tg_redis_arg_key(&a, k, TG_STR("lease:"), ask->feed);
    tg_redis_arg(&a, k->fence);
    if (ask->verb == TG_VERB_TAKE) {
        tg_redis_arg(&a, TG_STR("take"));
        tg_redis_arg_u64(&a, ask->ttl / 1000);
        tg_redis_arg(&a, tg_str_of(o->holder));
    } else {
        tg_redis_arg(&a, ask->verb == TG_VERB_RENEW ? TG_STR("renew") : TG_STR("release"));
        tg_redis_arg_u64(&a, ask->ttl / 1000);
        tg_redis_arg_u64(&a, ask->fence);
    }
    return tg_redis_args_format(&a);
}

enum tg_script_name tg_redis_script_of(enum tg_verb verb)
{
    switch (verb) {
    case TG_VERB_APPEND:
    case TG_VERB_GAP:
        return TG_SCRIPT_APPEND;
    case TG_VERB_PAGE:
        return TG_SCRIPT_PAGE;
    case TG_VERB_DEVICE_TOUCH:
    case TG_VERB_DEVICE_ACK:
    case TG_VERB_DEVICE_GET:
    case TG_VERB_DEVICE_DELETE:
        return TG_SCRIPT_DEVICE;
    case TG_VERB_DEVICE_LIST:
        return TG_SCRIPT_DEVICES;
    case TG_VERB_CONTROL:
        return TG_SCRIPT_CONTROL;
    case TG_VERB_LANE:
        return TG_SCRIPT_LANE;
    case TG_VERB_DENY:
    case TG_VERB_DENIED:
        return TG_SCRIPT_DENY;
    case TG_VERB_INDEX_WRITE:
    case TG_VERB_INDEX_LOAD:
        return TG_SCRIPT_INDEX;
    case TG_VERB_ONCE:
        return TG_SCRIPT_MAX;
    case TG_VERB_TAKE:
    case TG_VERB_RENEW:
    case TG_VERB_RELEASE:
    default:
        return TG_SCRIPT_LEASE;
    }
}

tg_str tg_redis_command(const struct tg_redis_keys *k, const struct tg_store_opts *o, tg_str sha,
                        const struct tg_ask *ask)
{
    switch (tg_redis_script_of(ask->verb)) {
    case TG_SCRIPT_APPEND:
        return append_command(k, o, sha, ask);
    case TG_SCRIPT_PAGE:
        return page_command(k, o, sha, ask);
    case TG_SCRIPT_LEASE:
        return lease_command(k, o, sha, ask);
    case TG_SCRIPT_CONTROL:
        return control_command(k, o, sha, ask);
    case TG_SCRIPT_LANE:
        return lane_command(k, o, sha, ask);
    case TG_SCRIPT_DENY:
        return deny_command(k, sha, ask);
    case TG_SCRIPT_INDEX:
        return tg_redis_index_command(k, sha, ask);
    case TG_SCRIPT_DEVICE:
    case TG_SCRIPT_DEVICES:
        return tg_redis_device_command(k, sha, ask);
    case TG_SCRIPT_MAX:
        return once_command(k, ask);
    case TG_SCRIPT_SETTLE:
    default:
        TG_UNREACHABLE();
    }
}

tg_str tg_redis_settle_command(const struct tg_redis_keys *k, const struct tg_store_opts *o,
                               tg_str sha, const struct tg_settle *settle)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 4);
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    tg_redis_arg(&a, k->gaps);
    tg_redis_arg(&a, k->floors);
    tg_redis_arg(&a, settle->run);
    tg_redis_arg(&a, settle->my_epoch);
    tg_redis_arg(&a, settle->my_run);
    arg_pos(&a, settle->highest);
    tg_redis_arg(&a, epoch_text(&settle->spare));
    tg_redis_arg_u64(&a, tg_store_max_retain(o) / 1000);
    return tg_redis_args_format(&a);
}
