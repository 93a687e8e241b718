/* fuzz_topic.c - topics as clients send them: what is read has a canonical name, which is read
 * as itself, is made of the parts that it shows, and has nothing that could break a line. */
#include "realtime/topic.h"

static void check(const struct tg_topic_name *t)
{
    TG_ASSERT(t->name.p == t->text && t->name.n <= (size_t)TG_TOPIC_MAX_BYTES);
    TG_ASSERT(t->schema.n > 0 && t->table.n > 0);
    TG_ASSERT(t->schema.p > t->text && t->table.p == t->schema.p + t->schema.n + 1);
    TG_ASSERT(tg_str_is_utf8(t->name));
    for (size_t i = 0; i < t->name.n; i++) {
        TG_ASSERT((unsigned char)t->name.p[i] >= 0x20 && t->name.p[i] != 0x7F);
    }
    if (t->filter.n != 0) {
        TG_ASSERT(t->filter.p + t->filter.n == t->name.p + t->name.n);
    } else {
        TG_ASSERT(t->table.p + t->table.n == t->name.p + t->name.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_topic_name t = {0};
    struct tg_topic_name again = {0};
    const char *why = NULL;

    if (tg_topic_parse(tg_str_make((const char *)data, n), &t, &why) != TG_OK) {
        TG_ASSERT(why != NULL && t.text == NULL);
        return 0;
    }
    check(&t);
    TG_ASSERT(tg_topic_parse(t.name, &again, &why) == TG_OK);
    TG_ASSERT(tg_str_eq(t.name, again.name) && tg_str_eq(t.filter, again.filter));
    tg_topic_fini(&t);
    tg_topic_fini(&again);
    return 0;
}
