/* frame.c - one allocation per frame: header, then the SSE bytes, then the alternative. */
#include "realtime/frame.h"

#include <stdlib.h>

#include "util/json.h"
#include "util/ref.h"

#define FRAME_MAGIC 0x6672616dU

struct tg_frame {
    unsigned magic;
    enum tg_frame_kind kind;
    tg_ref refs;
    struct tg_pos pos;
    uint32_t n_sse;
    uint32_t json_at;
    uint32_t n_json;
    uint32_t n_ready; /* behind the SSE bytes */
    char bytes[];
};

static struct tg_frame *new_frame(enum tg_frame_kind kind, struct tg_pos pos, size_t n)
{
    struct tg_frame *f = tg_malloc(sizeof(*f) + n);

    TG_ASSERT(n <= UINT32_MAX);
    *f = (struct tg_frame){.magic = FRAME_MAGIC, .kind = kind, .pos = pos};
    tg_ref_init(&f->refs);
    return f;
}

static size_t put(char *out, size_t at, tg_str s)
{
    if (s.n != 0) {
        memcpy(out + at, s.p, s.n);
    }
    return at + s.n;
}

/* Writes one SSE event at out; returns its length. json_at tells where the JSON begins. */
static size_t put_sse(char *out, tg_str cursor, tg_str name, tg_str json, size_t *ret_json_at)
{
    size_t at = put(out, 0, TG_STR("id: "));

    at = put(out, at, cursor);
    if (name.n != 0) {
        at = put(out, at, TG_STR("\nevent: "));
        at = put(out, at, name);
    }
    at = put(out, at, TG_STR("\ndata: "));
    *ret_json_at = at;
    at = put(out, at, json);
    return put(out, at, TG_STR("\n\n"));
}

enum { SSE_OVERHEAD = sizeof("id: \nevent: \ndata: \n\n") };

struct tg_frame *tg_frame_create(enum tg_frame_kind kind, const struct tg_epoch *epoch,
                                 struct tg_pos pos, tg_str name, tg_str json)
{
    char cursor[TG_CURSOR_MAX + 1];
    size_t n_cursor = tg_cursor_format(epoch, pos, cursor);
    struct tg_frame *f = new_frame(kind, pos, SSE_OVERHEAD + n_cursor + name.n + json.n);
    size_t json_at = 0;

    f->n_sse = (uint32_t)put_sse(f->bytes, tg_str_make(cursor, n_cursor), name, json, &json_at);
    f->json_at = (uint32_t)json_at;
    f->n_json = (uint32_t)json.n;
    return f;
}

struct tg_frame *tg_frame_reset(const struct tg_epoch *epoch, struct tg_pos pos, tg_str topic,
                                tg_str reason)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {0};
    char cursor[TG_CURSOR_MAX + 1];
    tg_str at = tg_str_make(cursor, tg_cursor_format(epoch, pos, cursor));
    struct tg_frame *f = NULL;
    size_t n_reset = 0;
    size_t json_at = 0;

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

    f = new_frame(TG_FRAME_RESET, pos, 2 * (SSE_OVERHEAD + at.n + sizeof("status")) + json.n);
    f->n_sse =
        (uint32_t)put_sse(f->bytes, at, TG_STR("reset"), tg_str_make(json.p, n_reset), &json_at);
    f->json_at = (uint32_t)json_at;
    f->n_json = (uint32_t)n_reset;
    f->n_ready = (uint32_t)put_sse(f->bytes + f->n_sse, at, TG_STR("status"),
                                   tg_str_skip(tg_buf_view(&json), n_reset), &json_at);
    return f;
}

struct tg_frame *tg_frame_raw(struct tg_pos pos, tg_str bytes)
{
    struct tg_frame *f = new_frame(TG_FRAME_CONTROL, pos, bytes.n);

    f->n_sse = (uint32_t)put(f->bytes, 0, bytes);
    return f;
}

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

tg_str tg_frame_ready_sse(const struct tg_frame *f)
{
    return tg_str_make(f->bytes + f->n_sse, f->n_ready);
}

size_t tg_frame_bytes(const struct tg_frame *f)
{
    return sizeof(*f) + f->n_sse + f->n_ready;
}
