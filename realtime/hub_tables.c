/* hub_tables.c - the tables that are followed whole from the start on: those of declared topics,
 * and those whose rows give and take access. And who is told of access.
 *
 * Invariant: a worker that a word about access did not reach is told that everybody's may have
 * changed, before the next delivery. */
#include <stdlib.h>

#include "realtime/rows.h"

/* ---- opening ---- */

static bool is_same_table(const struct tg_table *a, const struct tg_table *b)
{
    return tg_str_eq(a->schema, b->schema) && tg_str_eq(a->name, b->name);
}

static void open_feed(struct tg_hub *h, const char *key, const struct rows_opts *opts)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = TG_NAME_MAX};
    struct tg_topic_name name = {.schema = opts->table->schema, .table = opts->table->name};
    struct feed *f = NULL;

    /* As a strict topic of the whole table would be called: that is what is joined. */
    (void)tg_buf_printf(&text, "table:%.*s.%.*s", TG_STR_ARG(name.schema), TG_STR_ARG(name.table));
    name.name = tg_buf_view(&text);
    if (feed_open(h, &name, key, TG_STR(""), &f) != TG_OK) {
        return;
    }
    h->n_tables++;
    f->is_service = true;
    f->rows = rows_create(f, opts);
    f->token = tg_strdup(h->opts.service_key);
    f->exp_sec = INT64_MAX;
}

static void open_declared(struct tg_hub *h, const struct tg_declared *d)
{
    char *key = tg_str_dup(d->name);
    const struct rows_opts opts = {.table = d->table, .declared = d};

    open_feed(h, key, &opts);
    free(key);
}

/* One for all topics whose access this table decides. */
static void open_guard(struct tg_hub *h, const struct tg_table *table)
{
    const struct tg_declared_list *list = h->opts.declared;
    struct rows_opts opts = {.table = table};
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = TG_NAME_MAX};

    (void)tg_buf_printf(&key, "revoke:%.*s.%.*s", TG_STR_ARG(table->schema),
                        TG_STR_ARG(table->name));
    if (tg_buf_cstr(&key) == NULL || tg_map_find(&h->feed_keys, tg_buf_view(&key)) != NULL) {
        return;
    }
    opts.guarded = tg_calloc(list->n, sizeof(struct tg_declared *));
    for (size_t i = 0; i < list->n; i++) {
        const struct tg_table *other = list->items[i].revoke_on.table;

        if (other != NULL && is_same_table(other, table)) {
            opts.guarded[opts.n_guarded++] = &list->items[i];
        }
    }
    open_feed(h, tg_buf_cstr(&key), &opts); /* takes the list */
    h->n_guards++;
}

enum tg_rc hub_open_upstream(struct tg_hub *h)
{
    return h->upstream != NULL ? TG_OK
                               : tg_upstream_create(h->loop, &h->opts.upstream, &h->upstream);
}

enum tg_rc hub_open_tables(struct tg_hub *h)
{
    const struct tg_declared_list *list = h->opts.declared;
    enum tg_rc rc = TG_OK;
    size_t n_tables = 0;

    if (list == NULL || h->opts.service_key == NULL || h->opts.service_key[0] == '\0') {
        return TG_OK;
    }
    for (size_t i = 0; i < list->n; i++) {
        n_tables += list->items[i].table != NULL || list->items[i].revoke_on.table != NULL;
    }
    rc = n_tables == 0 ? TG_OK : hub_open_upstream(h);
    if (rc != TG_OK || n_tables == 0) {
        return rc;
    }
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].table != NULL) {
            open_declared(h, &list->items[i]);
        }
        if (list->items[i].revoke_on.table != NULL) {
            open_guard(h, list->items[i].revoke_on.table);
        }
    }
    return TG_OK;
}

/* ---- access ---- */

/* No two have the same time, so that a worker can say which it has heard. */
static tg_usec next_word_at(struct tg_hub *h)
{
    h->word_at = TG_MAX(tg_clock_mono_us(), h->word_at + 1);
    return h->word_at;
}

void hub_tell_access(struct tg_hub *h, const struct tg_access_word *word)
{
    struct tg_access_word told = *word;

    if (h->n_guards == 0) {
        return;
    }
    told.at = next_word_at(h);
    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        struct outbox *o = &h->outboxes[w];

        if (!o->lost_access && tg_fanout_tell_access(h->workers[w], &told) != TG_OK) {
            o->lost_access = true;
            tg_count_add(&h->counts.mail_full, 1);
        }
    }
}

void hub_access_entry(struct tg_hub *h, tg_str payload)
{
    char scratch[TG_ACCESS_WORD_MAX];
    struct tg_access_word word = {0};

    tg_count_add(&h->counts.access_words, 1);
    if (payload.n > sizeof(scratch) || tg_access_word_parse(payload, scratch, &word) != TG_OK) {
        /* A newer gateway's: who knows whom it means. */
        word = (struct tg_access_word){0};
    }
    hub_tell_access(h, &word);
}

bool hub_settle_access(struct tg_hub *h, unsigned worker)
{
    struct outbox *o = &h->outboxes[worker];
    struct tg_access_word all = {0};

    if (!o->lost_access) {
        return true;
    }
    all.at = next_word_at(h);
    if (tg_fanout_tell_access(h->workers[worker], &all) == TG_OK) {
        o->lost_access = false;
    }
    return !o->lost_access;
}

void hub_tell_watched(struct tg_hub *h, const struct tg_declared *d, bool is_watched)
{
    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        if (tg_fanout_tell_watched(h->workers[w], d->name, is_watched) != TG_OK) {
            h->outboxes[w].lost_news = true;
            tg_count_add(&h->counts.mail_full, 1);
        }
    }
}
