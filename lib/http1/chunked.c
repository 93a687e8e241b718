/* chunked.c - byte by byte over the framing, whole slices of the data.
 *
 *   SIZE -> (EXT) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                       | size 0
 *                       v
 *                  TRAILER -> (NAME -> VALUE -> VALUE_LF -> TRAILER)* -> END_LF -> DONE */
#include "http1/chunked.h"

#include "http1/field.h"

enum state {
    SIZE,
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
    DONE
};

enum { MAX_DIGITS = 16 };

void tg_chunked_init(struct tg_chunked *d, uint64_t max_total)
{
    *d = (struct tg_chunked){.max_total = max_total, .state = SIZE};
}

static int hex_of(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

static enum tg_rc expect(struct tg_chunked *d, bool is_there, enum state next)
{
    d->state = (uint8_t)next;
    return is_there ? TG_OK : TG_EBADREQ;
}

static enum tg_rc on_size(struct tg_chunked *d, char ch)
{
    int digit = hex_of(ch);

    if (digit >= 0) {
        if (d->digits == MAX_DIGITS) {
            return TG_EBODYSIZE;
        }
        d->digits++;
        d->left = d->left << 4 | (unsigned)digit;
        return TG_OK;
    }
    if (d->digits == 0) {
        return TG_EBADREQ;
    }
    if (__builtin_add_overflow(d->total, d->left, &d->total) || d->total > d->max_total) {
        return TG_EBODYSIZE;
    }
    return ch == ';' ? expect(d, true, EXT) : expect(d, ch == '\r', SIZE_LF);
}

static enum tg_rc on_size_end(struct tg_chunked *d, char ch)
{
    d->line = 0;
    d->digits = 0;
    return expect(d, ch == '\n', d->left == 0 ? TRAILER : DATA);
}

/* Text behind a semicolon or in a trailer's value: up to the CR. */
static enum tg_rc on_text(struct tg_chunked *d, char ch, enum state behind)
{
    if (ch == '\r') {
        d->state = (uint8_t)behind;
        return TG_OK;
    }
    return tg_field_is_value(tg_str_make(&ch, 1)) ? TG_OK : TG_EBADREQ;
}

static enum tg_rc on_name(struct tg_chunked *d, char ch)
{
    if (ch == ':') {
        d->state = VALUE;
        return TG_OK;
    }
    return tg_field_is_token_char(ch) ? TG_OK : TG_EBADREQ;
}

static enum tg_rc on_trailer(struct tg_chunked *d, char ch)
{
    if (ch == '\r') {
        d->state = END_LF;
        return TG_OK;
    }
    return expect(d, tg_field_is_token_char(ch), NAME);
}

static enum tg_rc on_byte(struct tg_chunked *d, char ch)
{
    switch ((enum state)d->state) {
    case SIZE:
        return on_size(d, ch);
    case EXT:
        return on_text(d, ch, SIZE_LF);
    case SIZE_LF:
        return on_size_end(d, ch);
    case DATA_CR:
        return expect(d, ch == '\r', DATA_LF);
    case DATA_LF:
        return expect(d, ch == '\n', SIZE);
    case TRAILER:
        return on_trailer(d, ch);
    case NAME:
        return on_name(d, ch);
    case VALUE:
        return on_text(d, ch, VALUE_LF);
    case VALUE_LF:
        return expect(d, ch == '\n', TRAILER);
    case END_LF:
        return expect(d, ch == '\n', DONE);
    case DATA:
    case DONE:
        break;
    }
    TG_UNREACHABLE();
}

static enum tg_rc check_bounds(struct tg_chunked *d)
{
    if (d->state == SIZE || d->state == EXT || d->state == SIZE_LF) {
        return ++d->line > TG_CHUNK_LINE_MAX ? TG_EBADREQ : TG_OK;
    }
    if (d->state >= TRAILER) {
        return ++d->line > TG_CHUNK_TRAILER_MAX ? TG_EHEADSIZE : TG_OK;
    }
    return TG_OK;
}

enum tg_rc tg_chunked_next(struct tg_chunked *d, tg_str *in, tg_str *ret_data)
{
    while (d->state != DONE) {
        enum tg_rc rc = TG_OK;

        if (in->n == 0) {
            return TG_EAGAIN;
        }
        if (d->state == DATA) {
            size_t n = d->left < in->n ? (size_t)d->left : in->n;

            *ret_data = tg_str_make(in->p, n);
            *in = tg_str_skip(*in, n);
            d->left -= n;
            d->state = d->left == 0 ? DATA_CR : DATA;
            return TG_OK;
        }
        rc = check_bounds(d);
        if (rc == TG_OK) {
            rc = on_byte(d, in->p[0]);
        }
        if (rc != TG_OK) {
            return rc;
        }
        *in = tg_str_skip(*in, 1);
    }
    return TG_EEOF;
}
