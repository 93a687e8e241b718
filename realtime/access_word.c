/* access_word.c - words between blanks, percent-encoded byte by byte. */
#include "realtime/access_word.h"

static const tg_str PREFIX = TG_STR_INIT("access ");

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_' || c == '.' || c == '@';
}

void tg_access_word_encode(struct tg_buf *out, tg_str text)
{
    if (text.n == 0) {
        (void)tg_buf_char(out, '*');
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (is_plain(c)) {
            (void)tg_buf_char(out, (char)c);
        } else {
            (void)tg_buf_printf(out, "%%%02X", c);
        }
    }
}

void tg_access_word_put(struct tg_buf *out, const struct tg_access_word *w)
{
    (void)tg_buf_str(out, PREFIX);
    tg_access_word_encode(out, w->declared);
    (void)tg_buf_char(out, ' ');
    tg_access_word_encode(out, w->key);
    (void)tg_buf_char(out, ' ');
    tg_access_word_encode(out, w->user);
}

bool tg_access_word_is(tg_str payload)
{
    return tg_str_has_prefix(payload, PREFIX);
}

/* The next word, decoded into `scratch`. */
static bool take(tg_str *rest, char **scratch, tg_str *ret_word)
{
    tg_str raw = tg_str_cut(rest, ' ');
    bool is_whole = false;

    if (raw.n == 0) {
        return false;
    }
    if (tg_str_eq(raw, TG_STR("*"))) {
        *ret_word = TG_STR_NONE;
        return true;
    }
    *ret_word = tg_str_make(*scratch, tg_str_unescape(raw, false, *scratch, &is_whole));
    *scratch += ret_word->n;
    return is_whole;
}

enum tg_rc tg_access_word_parse(tg_str payload, char *scratch, struct tg_access_word *ret_w)
{
    struct tg_access_word w = {0};
    tg_str rest = payload;

    if (!tg_access_word_is(payload)) {
        return TG_ESYNTAX;
    }
    rest = tg_str_skip(payload, PREFIX.n);
    if (!take(&rest, &scratch, &w.declared) || !take(&rest, &scratch, &w.key) ||
        !take(&rest, &scratch, &w.user) || rest.p != NULL) {
        return TG_ESYNTAX;
    }
    *ret_w = w;
    return TG_OK;
}
