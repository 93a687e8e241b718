/* feed_revoke.c - changes of a table that gives and takes access: whoever they are about is asked
 * again, on every gateway.
 *
 * The index has, for each row, the key and the user of every topic that the table decides, as words
 * of access_word.h: a DELETE says no more than the primary key. Nothing waits for a read here: who
 * is unknown is everybody. */
#include <stdlib.h>

#include "realtime/rows.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_WORDS = 1024 };

static void on_written(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct feed *f = feed_unpend(arg);

    (void)pos;
    if (f != NULL && rc != TG_OK) {
        f->rows->owes_access = true;
    }
}

static void tell(struct rows *r, const struct tg_access_word *w)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_ACCESS_WORD_MAX};
    struct feed *f = r->feed;
    void *p = NULL;

    tg_access_word_put(&payload, w);
    p = feed_pend(f);
    if (tg_buf_rc(&payload) != TG_OK || !f->hub->store_up ||
        tg_store_control(f->hub->store, &f->hub->epoch, tg_buf_view(&payload), on_written, p) !=
            TG_OK) {
        free(p);
        /* Here at once; the others are told of everybody when the log takes it. */
        hub_tell_access(f->hub, w);
        r->owes_access = true;
    }
}

void revoke_all(struct rows *r)
{
    if (!r->feed->hub->store_up || r->feed->fence == 0) {
        r->owes_access = true;
        return;
    }
    r->owes_access = false;
    for (size_t i = 0; i < r->opts.n_guarded; i++) {
        const struct tg_access_word w = {.declared = r->opts.guarded[i]->name};

        tell(r, &w);
    }
}

/* "key user key user": two words for each topic; `*` for what is null. TG_ENOTFOUND: a column is
 * missing. */
static enum tg_rc put_words(const struct rows *r, tg_str record, struct tg_buf *out)
{
    for (size_t i = 0; i < r->opts.n_guarded; i++) {
        const struct tg_revoke *on = &r->opts.guarded[i]->revoke_on;
        const tg_str columns[] = {on->key, on->user};

        for (size_t k = 0; k < 2; k++) {
            TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = MAX_WORDS};

            /* A topic may name one of the two alone: the other is everybody. */
            if (columns[k].n > 0 && tg_row_text(record, columns[k], &text) == TG_ENOTFOUND) {
                return TG_ENOTFOUND;
            }
            (void)tg_buf_str(out, out->n > 0 ? TG_STR(" ") : TG_STR(""));
            tg_access_word_encode(out, tg_buf_view(&text));
        }
    }
    return tg_buf_rc(out);
}

/* Everybody whom these words name. */
static void tell_words(struct rows *r, tg_str words)
{
    for (size_t i = 0; i < r->opts.n_guarded; i++) {
        char scratch[MAX_WORDS * 4];
        TG_CLEANUP(tg_buf_fini) struct tg_buf line = {.max = sizeof(scratch)};
        struct tg_access_word w = {0};
        tg_str key = tg_str_cut(&words, ' ');
        tg_str user = tg_str_cut(&words, ' ');

        (void)tg_buf_printf(&line, "access * %.*s %.*s", TG_STR_ARG(key), TG_STR_ARG(user));
        if (tg_buf_rc(&line) != TG_OK ||
            tg_access_word_parse(tg_buf_view(&line), scratch, &w) != TG_OK) {
            w = (struct tg_access_word){0};
        }
        w.declared = r->opts.guarded[i]->name;
        tell(r, &w);
    }
}

void revoke_note(struct rows *r, tg_str pk, tg_str record)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf words = {.max = MAX_WORDS};
    struct tg_index_row old = {0};

    if (put_words(r, record, &words) != TG_OK) {
        r->is_asked_early = true;
    } else if (!tg_index_find(r->index, pk, &old) || !tg_str_eq(old.key, tg_buf_view(&words))) {
        r->is_asked_early = true;
        rows_index(r, pk, tg_buf_view(&words), 0);
    }
}

/* A row that is no more, under this primary key. */
static void take_gone(struct rows *r, tg_str pk)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf words = {.max = MAX_WORDS};
    struct tg_index_row old = {0};

    if (!tg_index_find(r->index, pk, &old)) {
        tg_count_add(&r->feed->hub->counts.unknown_deletes, 1);
        revoke_all(r);
        return;
    }
    (void)tg_buf_str(&words, old.key);
    rows_unindex(r, pk);
    tell_words(r, tg_buf_view(&words));
}

void revoke_take(struct rows *r, tg_str payload)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = ROWS_PK_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf old_pk = {.max = ROWS_PK_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf words = {.max = MAX_WORDS};
    TG_CLEANUP(tg_buf_fini) struct tg_buf before = {.max = MAX_WORDS};
    struct tg_index_row old = {0};
    tg_str data = TG_STR_NONE;
    tg_str record = TG_STR_NONE;
    bool is_known = false;

    if (rows_change_pk(r, payload, &pk) != TG_OK ||
        tg_json_member(payload, "data", &data) != TG_OK) {
        revoke_all(r);
        return;
    }
    if (tg_json_member(data, "record", &record) != TG_OK) {
        take_gone(r, tg_buf_view(&pk));
        return;
    }
    if (rows_change_old_pk(r, payload, tg_buf_view(&pk), &old_pk)) {
        take_gone(r, tg_buf_view(&old_pk)); /* the key itself names who may read */
    }
    is_known = tg_index_find(r->index, tg_buf_view(&pk), &old);
    (void)tg_buf_str(&before, old.key);
    if (put_words(r, record, &words) != TG_OK) {
        revoke_all(r); /* cut short upstream */
        return;
    }
    rows_index(r, tg_buf_view(&pk), tg_buf_view(&words), 0);
    if (is_known && !tg_str_eq(tg_buf_view(&before), tg_buf_view(&words))) {
        tell_words(r, tg_buf_view(&before));
    }
    tell_words(r, tg_buf_view(&words));
}
