/* reply.c - lines of a head; a body by length, chunks or the end. */
#include "handlers/reply.h"

#include "http1/field.h"

static enum tg_rc scan_status(tg_str line, struct tg_reply *r)
{
    uint64_t status = 0;

    /* "HTTP/1.1 101 Switching Protocols"; the reason may be missing with its blank. */
    if (line.n < 12 || !tg_str_has_prefix(line, TG_STR("HTTP/1.")) || line.p[8] != ' ' ||
        tg_str_to_u64(tg_str_make(line.p + 9, 3), &status) != TG_OK || status < 100 ||
        (line.n > 12 && line.p[12] != ' ')) {
        return TG_EUPSTREAM;
    }
    r->status = (unsigned)status;
    r->reason = line.n > 13 ? tg_str_skip(line, 13) : TG_STR("");
    return tg_field_is_value(r->reason) ? TG_OK : TG_EUPSTREAM;
}

static enum tg_rc see_framing(struct tg_reply *r, const struct tg_upstream_field *f)
{
    uint64_t length = 0;

    if (tg_str_ieq(f->name, TG_STR("Transfer-Encoding"))) {
        r->is_chunked = tg_str_ieq(f->value, TG_STR("chunked"));
        return r->is_chunked ? TG_OK : TG_EUPSTREAM;
    }
    if (tg_str_ieq(f->name, TG_STR("Content-Length"))) {
        if (tg_str_to_u64(f->value, &length) != TG_OK || length > INT64_MAX ||
            (r->length >= 0 && r->length != (int64_t)length)) {
            return TG_EUPSTREAM;
        }
        r->length = (int64_t)length;
    }
    return TG_OK;
}

static enum tg_rc scan_field(tg_str line, struct tg_reply *r)
{
    struct tg_upstream_field *f = &r->fields[r->n_fields];
    size_t colon = tg_str_find(line, ':');

    if (r->n_fields == TG_REPLY_MAX_FIELDS || colon == line.n) {
        return TG_EUPSTREAM;
    }
    f->name = tg_str_make(line.p, colon);
    f->value = tg_str_trim(tg_str_skip(line, colon + 1));
    if (!tg_field_is_token(f->name) || !tg_field_is_value(f->value)) {
        return TG_EUPSTREAM;
    }
    r->n_fields++;
    return see_framing(r, f);
}

/* Bytes of the head with its empty line; 0: not whole. */
static size_t head_bytes(tg_str bytes)
{
    const char *end = bytes.n < 4 ? NULL : memmem(bytes.p, bytes.n, "\r\n\r\n", 4);

    return end == NULL ? 0 : (size_t)(end - bytes.p) + 4;
}

enum tg_rc tg_reply_scan(struct tg_arena *arena, tg_str bytes, struct tg_reply *ret_reply)
{
    struct tg_reply r = {.length = -1, .bytes = head_bytes(bytes)};
    tg_str rest = TG_STR_NONE;
    tg_str line = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (r.bytes == 0 || r.bytes > TG_REPLY_MAX_BYTES) {
        return r.bytes == 0 && bytes.n < TG_REPLY_MAX_BYTES ? TG_EAGAIN : TG_EUPSTREAM;
    }
    r.fields = tg_arena_alloc(arena, (TG_REPLY_MAX_FIELDS + 1) * sizeof(r.fields[0]));
    rest = tg_str_make(bytes.p, r.bytes - 4);
    line = tg_str_cut(&rest, '\n');
    rc = scan_status(tg_str_make(line.p, line.n - (rest.p != NULL ? 1U : 0U)), &r);
    while (rc == TG_OK && rest.p != NULL) {
        line = tg_str_cut(&rest, '\n');
        /* All lines but the last still have their CR; a bare CR is no value. */
        if (rest.p != NULL) {
            line.n -= line.n > 0 ? 1U : 0U;
        }
        rc = scan_field(line, &r);
    }
    if (rc != TG_OK) {
        return rc;
    }
    r.length = r.is_chunked ? -1 : r.length;
    if (r.status < 200 || r.status == 204 || r.status == 304) {
        r.length = 0;
        r.is_chunked = false;
    }
    r.left = r.length;
    tg_chunked_init(&r.chunked, UINT64_MAX);
    *ret_reply = r;
    return TG_OK;
}

enum tg_rc tg_reply_body(struct tg_reply *r, tg_str *in, tg_str *ret_piece)
{
    size_t n = in->n;

    if (r->is_chunked) {
        enum tg_rc rc = tg_chunked_next(&r->chunked, in, ret_piece);

        r->left = rc == TG_EEOF ? 0 : r->left;
        return rc == TG_OK || rc == TG_EAGAIN || rc == TG_EEOF ? rc : TG_EUPSTREAM;
    }
    if (r->left == 0) {
        return TG_EEOF;
    }
    if (n == 0) {
        return TG_EAGAIN;
    }
    if (r->left > 0) {
        n = TG_MIN(n, (size_t)r->left);
        r->left -= (int64_t)n;
    }
    *ret_piece = tg_str_make(in->p, n);
    *in = tg_str_skip(*in, n);
    return TG_OK;
}

bool tg_reply_may_end(const struct tg_reply *r)
{
    return r->left == 0 || (r->left < 0 && !r->is_chunked);
}
