/* fuzz_publish.c - bodies of publishers: what is taken is one line of good JSON per event, about a
 * topic that exists; what is not taken is refused with a reason. */
#include <string.h>

#include "handlers/publish_events.h"
#include "util/json.h"

static const struct tg_declared declared[] = {
    {.name = TG_STR_INIT("t"), .key_type = TG_KEY_TEXT, .is_public = true},
    {.name = TG_STR_INIT("i"), .key_type = TG_KEY_INT, .is_public = true},
};
static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};
static const struct tg_publish_rules rules = {&list, 4, 4096};

static void check_event(const struct tg_publish_batch *b, const struct tg_publish_event *e)
{
    tg_str json = tg_publish_json(b, e);
    tg_str topic = TG_STR_NONE;

    TG_ASSERT(e->topic.kind == TG_TOPIC_PUBLISHED && e->once.n <= (size_t)TG_PUBLISH_ID_MAX);
    TG_ASSERT(json.n <= rules.max_bytes && json.p[0] == '{' && tg_json_is_valid(json));
    for (size_t i = 0; i < json.n; i++) {
        TG_ASSERT((unsigned char)json.p[i] >= 0x20);
    }
    TG_ASSERT(tg_json_member(json, "topic", &topic) == TG_OK && topic.p == json.p + 9);
    TG_ASSERT(tg_json_member(json, "id", &topic) == TG_ENOTFOUND);
    TG_ASSERT(tg_json_member(json, "event", &topic) == TG_ENOTFOUND);
}

static void read_as(const struct tg_publish_from *from)
{
    struct tg_publish_batch b = {0};
    struct tg_buf why = {.max = TG_PUBLISH_WHY_MAX};

    if (tg_publish_read(&rules, from, &b, &why) == TG_OK) {
        TG_ASSERT(why.n == 0 && b.n > 0 && b.n <= rules.max_events);
        for (size_t i = 0; i < b.n; i++) {
            check_event(&b, &b.events[i]);
        }
    } else {
        TG_ASSERT(why.n > 0);
    }
    tg_publish_fini(&b);
    tg_buf_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const tg_str body = tg_str_make((const char *)data, n);
    const struct tg_publish_from alone = {.body = body};
    const struct tg_publish_from hook = {.body = body, .topic = TG_STR("t:1"), .once = TG_STR("k")};

    read_as(&alone);
    read_as(&hook);
    return 0;
}
