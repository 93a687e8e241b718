/* fuzz_head.c - the head scanner on any bytes: what it accepts keeps every promise of head.h, and
 * the same bytes in two parts get the same verdict. The first byte chooses the split. */
#include <stdlib.h>

#include "http1/head.h"

enum { FIELDS = 16 };

static const struct tg_head_limits limits = {
    .target_bytes = 256, .head_bytes = 2048, .fields = FIELDS, .body_bytes = 1U << 30U};

static bool is_inside(tg_str inner, tg_str outer)
{
    return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

static void check_fields(const struct tg_head *h, tg_str head)
{
    size_t n_hosts = tg_fields_count(h->fields, TG_STR("host"));
    size_t n_lengths = tg_fields_count(h->fields, TG_STR("content-length"));
    size_t n_codings = tg_fields_count(h->fields, TG_STR("transfer-encoding"));

    TG_ASSERT(h->fields.n <= FIELDS);
    for (size_t i = 0; i < h->fields.n; i++) {
        const struct tg_field *f = &h->fields.v[i];

        TG_ASSERT(is_inside(f->name, head) && is_inside(f->value, head));
        TG_ASSERT(tg_field_is_token(f->name) && tg_field_is_value(f->value));
        TG_ASSERT(f->value.n == tg_str_trim(f->value).n);
    }
    TG_ASSERT(n_hosts <= 1 && (n_hosts == 1 || h->minor == 0));
    TG_ASSERT(n_lengths + n_codings <= 1);
    TG_ASSERT((h->body == TG_BODY_LENGTH) == (n_lengths == 1));
    TG_ASSERT((h->body == TG_BODY_CHUNKED) == (n_codings == 1));
    TG_ASSERT(h->body != TG_BODY_CHUNKED || h->minor == 1);
    TG_ASSERT(h->content_length <= limits.body_bytes);
}

static void check_head(const struct tg_head *h, tg_str text)
{
    tg_str head = tg_str_make(text.p, h->bytes);

    TG_ASSERT(h->bytes <= text.n && h->bytes <= limits.head_bytes);
    TG_ASSERT(tg_str_has_suffix(head, TG_STR("\r\n\r\n")));
    TG_ASSERT(is_inside(h->target, head) && is_inside(h->method_text, head));
    TG_ASSERT(h->target.n != 0 && h->target.n <= limits.target_bytes);
    for (size_t i = 0; i < h->target.n; i++) {
        TG_ASSERT(h->target.p[i] > 0x20 && h->target.p[i] < 0x7f);
    }
    for (size_t i = 0; i < head.n; i++) {
        TG_ASSERT(head.p[i] != '\0');
        TG_ASSERT(head.p[i] != '\n' || (i != 0 && head.p[i - 1] == '\r'));
        TG_ASSERT(head.p[i] != '\r' || head.p[i + 1] == '\n');
    }
    check_fields(h, head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_field fields[FIELDS];
    struct tg_field again[FIELDS];
    struct tg_head h = {0};
    struct tg_head h2 = {0};
    tg_str text = TG_STR_NONE;
    size_t resume = 0;
    size_t part = 0;
    enum tg_rc rc = TG_OK;
    enum tg_rc rc2 = TG_OK;

    if (n == 0) {
        return 0;
    }
    text = tg_str_make((const char *)data + 1, n - 1);
    rc = tg_head_scan(text, &resume, &limits, fields, &h);
    TG_ASSERT(rc != TG_EAGAIN || text.n < limits.head_bytes);
    if (rc == TG_OK) {
        check_head(&h, text);
    }
    resume = 0;
    part = text.n * data[0] / 255;
    rc2 = tg_head_scan(tg_str_make(text.p, part), &resume, &limits, again, &h2);
    TG_ASSERT(resume <= part);
    if (rc2 == TG_EAGAIN) {
        rc2 = tg_head_scan(text, &resume, &limits, again, &h2);
        TG_ASSERT(rc2 == rc);
    } else if (rc2 != TG_OK) {
        /* A part that was refused is refused as a whole, perhaps for another reason. */
        TG_ASSERT(rc != TG_OK && rc != TG_EAGAIN);
    }
    TG_ASSERT(rc2 != TG_OK || (rc == TG_OK && h2.bytes == h.bytes &&
                               h2.content_length == h.content_length && h2.body == h.body));
    return 0;
}
