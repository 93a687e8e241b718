/* fuzz_chunked.c - the chunked decoder on any bytes: the same body and verdict at any split, the
 * limit is kept, and it stops where it says. The first byte chooses the size of the pieces. */
#include <stdlib.h>

#include "http1/chunked.h"
#include "util/buf.h"

enum { MAX_BODY = 4096, OUT_MAX = 1 << 20 };

static enum tg_rc decode(tg_str text, size_t piece, struct tg_buf *out, size_t *ret_used)
{
    struct tg_chunked d;
    enum tg_rc rc = TG_EAGAIN;
    size_t at = 0;

    tg_chunked_init(&d, MAX_BODY);
    while (rc == TG_EAGAIN && at < text.n) {
        size_t n = TG_MIN(piece, text.n - at);
        tg_str in = tg_str_make(text.p + at, n);
        tg_str data = TG_STR_NONE;

        while ((rc = tg_chunked_next(&d, &in, &data)) == TG_OK) {
            TG_ASSERT(data.n != 0 && data.p >= text.p + at && data.p + data.n == in.p);
            TG_ASSERT(tg_buf_str(out, data) == TG_OK);
        }
        TG_ASSERT(rc != TG_EAGAIN || in.n == 0);
        at += n - in.n;
    }
    *ret_used = at;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_buf whole = {0};
    struct tg_buf parts = {0};
    tg_str text = TG_STR_NONE;
    size_t used = 0;
    size_t used_parts = 0;
    enum tg_rc rc = TG_OK;

    if (n == 0) {
        return 0;
    }
    text = tg_str_make((const char *)data + 1, n - 1);
    tg_buf_init(&whole, OUT_MAX);
    tg_buf_init(&parts, OUT_MAX);
    rc = decode(text, TG_MAX(text.n, (size_t)1), &whole, &used);
    TG_ASSERT(rc == decode(text, (size_t)data[0] % 16 + 1, &parts, &used_parts));
    TG_ASSERT(used == used_parts && whole.n <= MAX_BODY);
    TG_ASSERT(tg_str_eq(tg_buf_view(&whole), tg_buf_view(&parts)));
    TG_ASSERT(rc != TG_EEOF || tg_str_has_suffix(tg_str_make(text.p, used), TG_STR("\r\n")));
    TG_ASSERT(rc == TG_EEOF || rc == TG_EAGAIN || rc == TG_EBADREQ || rc == TG_EBODYSIZE ||
              rc == TG_EHEADSIZE);
    tg_buf_fini(&whole);
    tg_buf_fini(&parts);
    return 0;
}
