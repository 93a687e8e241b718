/* fuzz_template.c - a question who may read a topic, a key and a user, separated by line breaks:
 * whatever the values are, the parameters of the query stay those of the question. */
#include <string.h>

#include "realtime/template.h"

/* What cuts a query into parameters, conditions and elements. */
static size_t n_marks(tg_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        TG_ASSERT(s.p[i] > 0x20 && s.p[i] < 0x7F && s.p[i] != '#' && s.p[i] != '"');
        n += strchr("?&=(),/*!$;:@+'", s.p[i]) == NULL ? 0 : 1;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str sub = tg_str_make((const char *)data, n);
    tg_str text = tg_str_cut(&sub, '\n');
    tg_str key = tg_str_cut(&sub, '\n');
    struct tg_buf plain = {.max = 65536 + 8 * n};
    struct tg_buf out = {.max = 65536 + 8 * 6 * n};
    struct tg_template *t = NULL;
    const char *why = NULL;
    enum tg_rc rc = TG_OK;

    (void)tg_template_is_yes(tg_str_make((const char *)data, n));
    if (tg_template_parse(text, &t, &why) != TG_OK) {
        TG_ASSERT(why != NULL && t == NULL);
        return 0;
    }
    TG_ASSERT(tg_template_expand(t, TG_STR("k"), TG_STR("s"), &plain) == TG_OK);
    TG_ASSERT(tg_str_has_prefix(tg_buf_view(&plain), TG_STR("/rest/v1/")));
    rc = tg_template_expand(t, key, sub, &out);
    if (rc == TG_OK) {
        TG_ASSERT(n_marks(tg_buf_view(&out)) == n_marks(tg_buf_view(&plain)));
    } else {
        TG_ASSERT(rc == TG_EFORBIDDEN && out.n == 0);
    }
    tg_buf_fini(&plain);
    tg_buf_fini(&out);
    tg_template_destroy(t);
    return 0;
}
