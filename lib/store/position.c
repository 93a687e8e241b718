/* position.c - ids and cursors as text. Strict: one position has one spelling, so that texts
 * can be compared and a cursor that was tampered with is refused. */
#include "store/store.h"

static enum tg_rc read_number(tg_str text, uint64_t *ret_n)
{
    if (text.n == 0 || text.n > 20 || (text.n > 1 && text.p[0] == '0')) {
        return TG_EBADCURSOR;
    }
    return tg_str_to_u64(text, ret_n) == TG_OK ? TG_OK : TG_EBADCURSOR;
}

enum tg_rc tg_pos_parse(tg_str text, struct tg_pos *ret_pos)
{
    struct tg_pos pos = {0};
    size_t dash = tg_str_find(text, '-');

    if (dash == text.n) {
        return TG_EBADCURSOR;
    }
    if (read_number(tg_str_make(text.p, dash), &pos.ms) != TG_OK ||
        read_number(tg_str_skip(text, dash + 1), &pos.seq) != TG_OK) {
        return TG_EBADCURSOR;
    }
    *ret_pos = pos;
    return TG_OK;
}

static bool is_epoch_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

enum tg_rc tg_cursor_parse(tg_str text, struct tg_epoch *ret_epoch, struct tg_pos *ret_pos)
{
    struct tg_epoch epoch = {0};
    size_t dot = tg_str_find(text, '.');
    struct tg_pos pos = {0};

    if (dot == 0 || dot == text.n || dot > TG_EPOCH_MAX) {
        return TG_EBADCURSOR;
    }
    for (size_t i = 0; i < dot; i++) {
        if (!is_epoch_char(text.p[i])) {
            return TG_EBADCURSOR;
        }
        epoch.text[i] = text.p[i];
    }
    if (tg_pos_parse(tg_str_skip(text, dot + 1), &pos) != TG_OK) {
        return TG_EBADCURSOR;
    }
    *ret_epoch = epoch;
    *ret_pos = pos;
    return TG_OK;
}

static size_t put_number(char *out, uint64_t n)
{
    char digits[20];
    size_t len = 0;

    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    for (size_t i = 0; i < len; i++) {
        out[i] = digits[len - 1 - i];
    }
    return len;
}

size_t tg_pos_format(struct tg_pos pos, char *out)
{
    size_t n = put_number(out, pos.ms);

    out[n++] = '-';
    n += put_number(out + n, pos.seq);
    out[n] = '\0';
    return n;
}

size_t tg_cursor_format(const struct tg_epoch *epoch, struct tg_pos pos, char *out)
{
    size_t n = strnlen(epoch->text, TG_EPOCH_MAX);

    memcpy(out, epoch->text, n);
    out[n++] = '.';
    return n + tg_pos_format(pos, out + n);
}
