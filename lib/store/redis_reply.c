/* redis_reply.c - what Redis and its scripts say, read strictly. */
#include "store/redis_reply.h"

static bool is_text(const redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_STRING;
}

tg_str tg_redis_text_at(const redisReply *r, size_t i)
{
    if (r->type != REDIS_REPLY_ARRAY || i >= r->elements || !is_text(r->element[i])) {
        return TG_STR_NONE;
    }
    return tg_redis_text(r->element[i]);
}

bool tg_redis_read_settle(const redisReply *r, struct tg_epoch *ret_epoch, struct tg_pos *ret_last,
                          bool *ret_is_suspect)
{
    tg_str word = tg_redis_text_at(r, 0);
    tg_str epoch = tg_redis_text_at(r, 1);

    if (word.p == NULL || epoch.n == 0 || epoch.n > TG_EPOCH_MAX ||
        tg_pos_parse(tg_redis_text_at(r, 2), ret_last) != TG_OK) {
        return false;
    }
    *ret_epoch = (struct tg_epoch){0};
    memcpy(ret_epoch->text, epoch.p, epoch.n);
    *ret_is_suspect = tg_str_eq(word, TG_STR("SUSPECT"));
    return true;
}

static bool read_verdict(tg_str word, enum tg_verdict *ret_verdict)
{
    static const struct {
        tg_str word;
        enum tg_verdict verdict;
    } words[] = {
        {TG_STR_INIT("COMPLETE"), TG_COMPLETE},     {TG_STR_INIT("EXPIRED"), TG_RESET_EXPIRED},
        {TG_STR_INIT("SKIPPED"), TG_RESET_EXPIRED}, {TG_STR_INIT("EPOCH"), TG_RESET_EPOCH},
        {TG_STR_INIT("GAP"), TG_RESET_GAP},         {TG_STR_INIT("AHEAD"), TG_RESET_AHEAD}};

    for (size_t i = 0; i < TG_ARRAY_LEN(words); i++) {
        if (tg_str_eq(word, words[i].word)) {
            *ret_verdict = words[i].verdict;
            return true;
        }
    }
    return false;
}

bool tg_redis_read_page(const redisReply *r, tg_str topic, struct tg_arena *arena,
                        struct tg_page *ret_page)
{
    struct tg_entry *entries = NULL;
    struct tg_page page = {0};

    if (r->type != REDIS_REPLY_ARRAY || r->elements < 3 || r->elements % 2 == 0 ||
        r->elements > 3 + 2 * TG_PAGE_MAX || !read_verdict(tg_redis_text_at(r, 0), &page.verdict) ||
        tg_pos_parse(tg_redis_text_at(r, 1), &page.resume) != TG_OK) {
        return false;
    }
    page.has_more = r->element[2]->integer == 1;
    page.has_skipped = tg_str_eq(tg_redis_text_at(r, 0), TG_STR("SKIPPED"));
    entries = tg_arena_alloc(arena, r->elements / 2 * sizeof(*entries));
    page.entries = entries;
    for (size_t i = 3; i < r->elements; i += 2) {
        struct tg_entry *e = &entries[page.n++];

        *e = (struct tg_entry){.name = topic, .payload = tg_redis_text_at(r, i + 1)};
        if (tg_pos_parse(tg_redis_text_at(r, i), &e->pos) != TG_OK) {
            return false;
        }
    }
    *ret_page = page;
    return true;
}

bool tg_redis_read_answer(const redisReply *r, struct tg_answer *ret_answer)
{
    tg_str word = tg_redis_text_at(r, 0);
    struct tg_answer a = {0};

    if (tg_str_eq(word, TG_STR("EPOCH"))) {
        a.rc = TG_EEPOCH;
    } else if (tg_str_eq(word, TG_STR("FENCED"))) {
        a.rc = TG_EFENCED;
    } else if (tg_str_eq(word, TG_STR("CONFLICT"))) {
        a.rc = TG_ECONFLICT;
    } else if (!tg_str_eq(word, TG_STR("OK"))) {
        return false;
    }
    if (a.rc == TG_OK || a.rc == TG_ECONFLICT) {
        /* An append has an id, a lease fence and holder. */
        a.holder = tg_redis_text_at(r, 2);
        if (a.holder.p == NULL ? tg_pos_parse(tg_redis_text_at(r, 1), &a.pos) != TG_OK
                               : tg_str_to_u64(tg_redis_text_at(r, 1), &a.fence) != TG_OK) {
            return false;
        }
    }
    *ret_answer = a;
    return true;
}

bool tg_redis_read_once(const redisReply *r, struct tg_answer *ret_answer)
{
    ret_answer->rc = r->type == REDIS_REPLY_NIL ? TG_ECONFLICT : TG_OK;
    return r->type == REDIS_REPLY_NIL || r->type == REDIS_REPLY_STATUS;
}

bool tg_redis_read_lane(const redisReply *r, struct tg_answer *ret_answer)
{
    struct tg_lane lane = {.is_capped = tg_str_eq(tg_redis_text_at(r, 2), TG_STR("1"))};
    tg_str epoch = tg_redis_text_at(r, 6);

    if (tg_str_eq(tg_redis_text_at(r, 0), TG_STR("EPOCH"))) {
        ret_answer->rc = TG_EEPOCH;
        return true;
    }
    if (epoch.n == 0 || epoch.n > TG_EPOCH_MAX ||
        tg_str_to_u64(tg_redis_text_at(r, 1), &lane.n) != TG_OK ||
        tg_pos_parse(tg_redis_text_at(r, 3), &lane.oldest) != TG_OK ||
        tg_pos_parse(tg_redis_text_at(r, 4), &lane.newest) != TG_OK ||
        tg_pos_parse(tg_redis_text_at(r, 5), &lane.last) != TG_OK) {
        return false;
    }
    memcpy(lane.epoch.text, epoch.p, epoch.n);
    *ret_answer = (struct tg_answer){.rc = TG_OK, .lane = lane};
    return true;
}

bool tg_redis_read_denied(const redisReply *r, struct tg_arena *arena, struct tg_answer *ret_answer)
{
    struct tg_denied *list = NULL;
    size_t n = 0;

    if (tg_str_eq(tg_redis_text_at(r, 0), TG_STR("FULL"))) {
        ret_answer->rc = TG_EFULL;
        return true;
    }
    if (!tg_str_eq(tg_redis_text_at(r, 0), TG_STR("OK")) || r->elements % 2 == 0) {
        return false;
    }
    list = tg_arena_alloc(arena, r->elements / 2 * sizeof(*list));
    for (size_t i = 1; i < r->elements; i += 2) {
        uint64_t until = 0;

        if (tg_str_to_u64(tg_redis_text_at(r, i + 1), &until) != TG_OK) {
            return false;
        }
        list[n++] = (struct tg_denied){.key = tg_redis_text_at(r, i), .until_sec = (int64_t)until};
    }
    *ret_answer = (struct tg_answer){.rc = TG_OK, .denied = list, .n = n};
    return true;
}

static enum tg_entry_kind kind_of(tg_str letter)
{
    if (tg_str_eq(letter, TG_STR("g"))) {
        return TG_ENTRY_GAP;
    }
    return tg_str_eq(letter, TG_STR("c")) ? TG_ENTRY_CONTROL : TG_ENTRY_EVENT;
}

bool tg_redis_read_entry(const redisReply *r, struct tg_entry *ret_entry, struct tg_pos *ret_before,
                         bool *ret_is_start)
{
    struct tg_entry e = {0};
    struct tg_pos before = {0};
    const redisReply *fields = NULL;
    tg_str kind = TG_STR_NONE;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        tg_pos_parse(tg_redis_text_at(r, 0), &e.pos) != TG_OK) {
        return false;
    }
    fields = r->element[1];
    kind = tg_redis_text_at(fields, 0);
    *ret_is_start = tg_str_eq(kind, TG_STR("s"));
    if (*ret_is_start) {
        e.name = tg_redis_text_at(fields, 1);
        kind = tg_redis_text_at(fields, 3);
    } else {
        e.kind = kind_of(kind);
        e.name = tg_redis_text_at(fields, 1);
        e.payload = tg_redis_text_at(fields, 3);
        kind = tg_redis_text_at(fields, 5);
    }
    if (tg_pos_parse(kind, &before) != TG_OK) {
        return false;
    }
    *ret_entry = e;
    *ret_before = before;
    return true;
}

tg_str tg_redis_info(tg_str info, tg_str name)
{
    while (info.p != NULL && info.n > 0) {
        tg_str line = tg_str_cut(&info, '\n');
        tg_str key = tg_str_cut(&line, ':');

        if (tg_str_eq(key, name) && line.p != NULL) {
            return line.n > 0 && line.p[line.n - 1] == '\r' ? tg_str_make(line.p, line.n - 1)
                                                            : line;
        }
    }
    return TG_STR_NONE;
}

bool tg_redis_is_error(const redisReply *r, const char *kind)
{
    size_t n = strlen(kind);
    const char *at = r->str;

    if (strncmp(at, kind, n) == 0) {
        return true;
    }
    /* Redis 6 wraps what a script's command said: "ERR Error running script ...: -OOM ..." */
    while ((at = strstr(at, " -")) != NULL) {
        at += 2;
        if (strncmp(at, kind, n) == 0) {
            return true;
        }
    }
    return false;
}
