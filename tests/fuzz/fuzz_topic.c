/* fuzz_topic.c - topics as clients send them: what is read has a canonical name, which is read
 * as itself, is made of the parts that it shows, and has nothing that could break a line. */
#include <string.h>

#include "realtime/topic.h"

static const struct tg_declared declared[] = {
    {.name = TG_STR_INIT("t"), .key_type = TG_KEY_TEXT, .is_public = true},
    {.name = TG_STR_INIT("u"), .key_type = TG_KEY_UUID, .is_public = true},
    {.name = TG_STR_INIT("i"), .key_type = TG_KEY_INT, .is_public = true},
};
static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};

static void check_table(const struct tg_topic_name *t)
{
    TG_ASSERT(t->declared == NULL && t->key.n == 0);
    TG_ASSERT(t->schema.n > 0 && t->table.n > 0);
    TG_ASSERT(t->schema.p > t->text && t->table.p == t->schema.p + t->schema.n + 1);
    if (t->filter.n != 0) {
        TG_ASSERT(t->filter.p + t->filter.n == t->name.p + t->name.n);
    } else {
        TG_ASSERT(t->table.p + t->table.n == t->name.p + t->name.n);
    }
}

static void check_declared(const struct tg_topic_name *t)
{
    TG_ASSERT(t->declared != NULL && t->schema.n == 0 && t->table.n == 0 && t->filter.n == 0);
    TG_ASSERT(t->key.n > 0 && t->key.n <= (size_t)TG_TOPIC_KEY_MAX);
    TG_ASSERT(t->declared->name.n + 1 + t->key.n == t->name.n);
    TG_ASSERT(t->key.p + t->key.n == t->name.p + t->name.n);
    TG_ASSERT(memchr(t->key.p, ' ', t->key.n) == NULL);
}

static void check(const struct tg_topic_name *t)
{
    TG_ASSERT(t->name.p == t->text && t->name.n <= (size_t)TG_TOPIC_MAX_BYTES);
    TG_ASSERT(tg_str_is_utf8(t->name));
    for (size_t i = 0; i < t->name.n; i++) {
        TG_ASSERT((unsigned char)t->name.p[i] >= 0x20 && t->name.p[i] != 0x7F);
    }
    if (t->kind == TG_TOPIC_STRICT) {
        check_table(t);
    } else {
        check_declared(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_topic_name t = {0};
    struct tg_topic_name again = {0};
    struct tg_topic_name copy = {0};
    const char *why = NULL;

    if (tg_topic_parse(&list, tg_str_make((const char *)data, n), &t, &why) != TG_OK) {
        TG_ASSERT(why != NULL && t.text == NULL);
        return 0;
    }
    check(&t);
    TG_ASSERT(tg_topic_parse(&list, t.name, &again, &why) == TG_OK);
    TG_ASSERT(tg_str_eq(t.name, again.name) && tg_str_eq(t.filter, again.filter));
    tg_topic_copy(&t, &copy);
    check(&copy);
    TG_ASSERT(tg_str_eq(t.name, copy.name) && tg_str_eq(t.key, copy.key));
    tg_topic_fini(&t);
    tg_topic_fini(&again);
    tg_topic_fini(&copy);
    return 0;
}
