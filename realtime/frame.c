/* frame.c - one allocation per frame: header, then the forms one behind the other:
 *
 *   | sse | ws | ready sse | ready ws |
 *
 * What a form says is measured and written by the same function: once without a place to
 * write to, once with it. */
#include "realtime/frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/json.h"
#include "util/ref.h"

#define FRAME_MAGIC 0x6672616dU

struct tg_frame {
    unsigned magic;
    enum tg_frame_kind kind;
    tg_ref refs;
    uint32_t json_at;
    uint32_t n_json;
    struct tg_pos pos;
    uint32_t n_sse;
    uint32_t n_ws;
    uint32_t n_ready_sse;
    uint32_t n_ready_ws;
    char bytes[];
};

/* What an event says, in whatever form. */
struct said {
    tg_str retry; /* SSE only: in milliseconds, as digits */
    tg_str id;
    tg_str name;
    tg_str json;
};

/* Counts what is written; writes it where there is room for it. */
struct out {
    char *p; /* NULL: only counts */
    size_t n;
};

static void put(struct out *o, tg_str s)
{
    if (o->p != NULL && s.n != 0) {
        memcpy(o->p + o->n, s.p, s.n);
    }
    o->n += s.n;
}

/* ---- the forms ---- */

/* Returns where the JSON begins, counted from where the event does. */
static size_t put_sse(struct out *o, const struct said *e)
{
    size_t start = o->n;
    size_t json_at = 0;

    if (e->retry.n != 0) {
        put(o, TG_STR("retry: "));
        put(o, e->retry);
        put(o, TG_STR("\n"));
    }
    if (e->id.n != 0) {
        put(o, TG_STR("id: "));
        put(o, e->id);
        put(o, TG_STR("\n"));
    }
    if (e->name.n != 0) {
        put(o, TG_STR("event: "));
        put(o, e->name);
        put(o, TG_STR("\n"));
    }
    put(o, TG_STR("data: "));
    json_at = o->n - start;
    put(o, e->json);
    put(o, TG_STR("\n\n"));
    return json_at;
}

/* What stands between the braces of an object. */
static tg_str members_of(tg_str json)
{
    tg_str inside = json.n < 2 ? TG_STR_NONE : tg_str_make(json.p + 1, json.n - 2);

    while (inside.n > 0 && (inside.p[0] == ' ' || inside.p[0] == '\t')) {
        inside = tg_str_skip(inside, 1);
    }
    return inside;
}

static void put_message(struct out *o, const struct said *e)
{
    tg_str members = members_of(e->json);
    tg_str comma = TG_STR("");

    put(o, TG_STR("{"));
    if (e->name.n != 0) {
        put(o, TG_STR("\"event\":\""));
        put(o, e->name);
        put(o, TG_STR("\""));
        comma = TG_STR(",");
    }
    if (e->id.n != 0) {
        put(o, comma);
        put(o, TG_STR("\"id\":\""));
        put(o, e->id);
        put(o, TG_STR("\""));
        comma = TG_STR(",");
    }
    if (members.n != 0) {
        put(o, comma);
        put(o, members);
    }
    put(o, TG_STR("}"));
}

/* RFC 6455 section 5.2: FIN and text, no mask, the shortest of the three lengths. */
static void put_ws_header(struct out *o, size_t n)
{
    char head[10] = {(char)0x81};
    size_t n_length = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;

    head[1] = (char)(n_length == 0 ? n : n_length == 2 ? 126 : 127);
    for (size_t i = 0; i < n_length; i++) {
        head[2 + i] = (char)(n >> (8 * (n_length - 1 - i)));
    }
    put(o, tg_str_make(head, 2 + n_length));
}

static size_t ws_header_length(const char *frame)
{
    unsigned length = (unsigned char)frame[1];

    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static void put_ws(struct out *o, const struct said *e)
{
    struct out measure = {NULL, 0};

    put_message(&measure, e);
    put_ws_header(o, measure.n);
    put_message(o, e);
}

/* ---- building ---- */

static struct tg_frame *new_frame(enum tg_frame_kind kind, struct tg_pos pos, size_t n)
{
    struct tg_frame *f = tg_malloc(sizeof(*f) + n);

    TG_ASSERT(n <= UINT32_MAX);
    *f = (struct tg_frame){.magic = FRAME_MAGIC, .kind = kind, .pos = pos};
    tg_ref_init(&f->refs);
    return f;
}

/* `ready` is NULL, or what it says as its ready form. */
static struct tg_frame *build(enum tg_frame_kind kind, struct tg_pos pos, const struct said *e,
                              const struct said *ready)
{
    struct out measure = {NULL, 0};
    struct out o = {NULL, 0};
    struct tg_frame *f = NULL;

    (void)put_sse(&measure, e);
    put_ws(&measure, e);
    if (ready != NULL) {
        (void)put_sse(&measure, ready);
        put_ws(&measure, ready);
    }
    f = new_frame(kind, pos, measure.n);
    o.p = f->bytes;
    f->json_at = (uint32_t)put_sse(&o, e);
    f->n_json = (uint32_t)e->json.n;
    f->n_sse = (uint32_t)o.n;
    put_ws(&o, e);
    f->n_ws = (uint32_t)o.n - f->n_sse;
    if (ready != NULL) {
        size_t at = o.n;

        (void)put_sse(&o, ready);
        f->n_ready_sse = (uint32_t)(o.n - at);
        at = o.n;
        put_ws(&o, ready);
        f->n_ready_ws = (uint32_t)(o.n - at);
    }
    TG_ASSERT(o.n == measure.n);
    return f;
}

struct tg_frame *tg_frame_create(enum tg_frame_kind kind, const struct tg_epoch *epoch,
                                 struct tg_pos pos, tg_str name, tg_str json)
{
    char cursor[TG_CURSOR_MAX + 1];
    const struct said e = {.id = tg_str_make(cursor, tg_cursor_format(epoch, pos, cursor)),
                           .name = name,
                           .json = json};

    return build(kind, pos, &e, NULL);
}

struct tg_frame *tg_frame_reset(const struct tg_epoch *epoch, struct tg_pos pos, tg_str topic,
                                tg_str reason)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {0};
    char cursor[TG_CURSOR_MAX + 1];
    tg_str id = tg_str_make(cursor, tg_cursor_format(epoch, pos, cursor));
    struct said reset = {.id = id, .name = TG_STR("reset")};
    struct said ready = {.id = id, .name = TG_STR("status")};
    size_t n_reset = 0;

    tg_buf_init(&json, SIZE_MAX / 2);
    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, topic);
    (void)tg_buf_str(&json, TG_STR(",\"reason\":"));
    (void)tg_json_quote(&json, reason);
    (void)tg_buf_str(&json, TG_STR("}"));
    n_reset = json.n;
    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, topic);
    (void)tg_buf_str(&json, TG_STR(",\"state\":\"ready\"}"));
    reset.json = tg_str_make(json.p, n_reset);
    ready.json = tg_str_skip(tg_buf_view(&json), n_reset);
    return build(TG_FRAME_RESET, pos, &reset, &ready);
}

struct tg_frame *tg_frame_named(tg_str name, tg_str json)
{
    const struct said e = {.name = name, .json = json};

    return build(TG_FRAME_CONTROL, (struct tg_pos){0}, &e, NULL);
}

struct tg_frame *tg_frame_bye(tg_str reason, uint64_t retry_ms)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = 512};
    char retry[24];
    struct said e = {.name = TG_STR("bye")};

    e.retry = tg_str_make(
        retry, (size_t)snprintf(retry, sizeof(retry), "%llu", (unsigned long long)retry_ms));
    (void)tg_buf_str(&json, TG_STR("{\"reason\":"));
    (void)tg_json_quote(&json, reason);
    (void)tg_buf_printf(&json, ",\"retry\":%s}", retry);
    e.json = tg_buf_view(&json);
    return build(TG_FRAME_CONTROL, (struct tg_pos){0}, &e, NULL);
}

struct tg_frame *tg_frame_pair(struct tg_pos pos, tg_str sse, tg_str ws)
{
    struct tg_frame *f = new_frame(TG_FRAME_CONTROL, pos, sse.n + ws.n);
    struct out o = {f->bytes, 0};

    put(&o, sse);
    put(&o, ws);
    f->n_sse = (uint32_t)sse.n;
    f->n_ws = (uint32_t)ws.n;
    return f;
}

struct tg_frame *tg_frame_position(const struct tg_epoch *epoch, struct tg_pos pos)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf sse = {.max = TG_CURSOR_MAX + 16};
    char cursor[TG_CURSOR_MAX + 1];
    char ws[TG_CURSOR_MAX + 64];
    struct said e = {.name = TG_STR("heartbeat")};
    struct out o = {ws, 0};

    e.id = tg_str_make(cursor, tg_cursor_format(epoch, pos, cursor));
    put_ws(&o, &e);
    /* Browsers take an id without data as the new position and raise no event. */
    (void)tg_buf_printf(&sse, "id: %s\n\n", cursor);
    return tg_frame_pair(pos, tg_buf_view(&sse), tg_str_make(ws, o.n));
}

/* ---- life ---- */

struct tg_frame *tg_frame_ref(struct tg_frame *f)
{
    TG_CHECK(f, FRAME_MAGIC);
    tg_ref_take(&f->refs);
    return f;
}

void tg_frame_unref(struct tg_frame *f)
{
    if (f == NULL) {
        return;
    }
    TG_CHECK(f, FRAME_MAGIC);
    if (tg_ref_drop(&f->refs)) {
        f->magic = 0;
        free(f);
    }
}

/* ---- reading ---- */

struct tg_pos tg_frame_pos(const struct tg_frame *f)
{
    return f->pos;
}

enum tg_frame_kind tg_frame_kind(const struct tg_frame *f)
{
    return f->kind;
}

tg_str tg_frame_sse(const struct tg_frame *f)
{
    return tg_str_make(f->bytes, f->n_sse);
}

tg_str tg_frame_json(const struct tg_frame *f)
{
    return tg_str_make(f->bytes + f->json_at, f->n_json);
}

tg_str tg_frame_ws(const struct tg_frame *f)
{
    return tg_str_make(f->bytes + f->n_sse, f->n_ws);
}

/* A control frame of the WebSocket has no message. */
tg_str tg_frame_message(const struct tg_frame *f)
{
    tg_str ws = tg_frame_ws(f);

    if (ws.n < 2 || (unsigned char)ws.p[0] != 0x81) {
        return TG_STR("");
    }
    return tg_str_skip(ws, ws_header_length(ws.p));
}

tg_str tg_frame_ready_sse(const struct tg_frame *f)
{
    return tg_str_make(f->bytes + f->n_sse + f->n_ws, f->n_ready_sse);
}

tg_str tg_frame_ready_ws(const struct tg_frame *f)
{
    return tg_str_make(f->bytes + f->n_sse + f->n_ws + f->n_ready_sse, f->n_ready_ws);
}

size_t tg_frame_bytes(const struct tg_frame *f)
{
    return sizeof(*f) + f->n_sse + f->n_ws + f->n_ready_sse + f->n_ready_ws;
}
