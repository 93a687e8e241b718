/* fanout_access.c - what a worker is told of access that may have changed.
 *
 * Mail like the deliveries, in the order of the log: whoever holds a reader back from inside the
 * callback does so before anything that was written later can reach it. */
#include <stdlib.h>

#include "realtime/fanout_int.h"

void tg_fanout_on_access(struct tg_fanout *f, tg_access_fn *fn, void *arg)
{
    f->on_access = fn;
    f->access_arg = arg;
}

bool tg_fanout_is_watched(const struct tg_fanout *f, tg_str declared)
{
    return tg_map_find(&f->watched, declared) != NULL;
}

struct access_mail {
    struct tg_mail mail;
    struct tg_fanout *to;
    bool is_watch;
    bool is_watched;
    struct tg_access_word word;
    char text[];
};

static void drop_access(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct access_mail, mail));
}

static void on_access_mail(struct tg_mail *mail, void *owner)
{
    struct access_mail *m = TG_CONTAINER_OF(mail, struct access_mail, mail);
    struct tg_fanout *f = m->to;

    (void)owner;
    if (m->is_watch && m->is_watched) {
        (void)tg_map_put(&f->watched, m->word.declared, f);
    } else if (m->is_watch) {
        (void)tg_map_remove(&f->watched, m->word.declared);
    } else if (f->on_access != NULL) {
        f->on_access(&m->word, f->access_arg);
    }
    free(m);
}

static tg_str keep(char **at, tg_str text)
{
    tg_str kept = tg_str_make(*at, text.n);

    if (text.n > 0) {
        memcpy(*at, text.p, text.n);
    }
    *at += text.n;
    return kept;
}

static enum tg_rc post(struct tg_fanout *f, const struct tg_access_word *w, bool is_watch,
                       bool is_watched)
{
    struct access_mail *m = tg_malloc(sizeof(*m) + w->declared.n + w->key.n + w->user.n);
    char *at = m->text;
    enum tg_rc rc = TG_OK;

    *m = (struct access_mail){.mail = {.run = on_access_mail, .drop = drop_access},
                              .to = f,
                              .is_watch = is_watch,
                              .is_watched = is_watched};
    m->word.declared = keep(&at, w->declared);
    m->word.key = keep(&at, w->key);
    m->word.user = keep(&at, w->user);
    m->word.at = w->at;
    rc = tg_loop_post(f->loop, &m->mail);
    if (rc != TG_OK) {
        free(m);
    }
    return rc;
}

enum tg_rc tg_fanout_tell_access(struct tg_fanout *f, const struct tg_access_word *w)
{
    return post(f, w, false, false);
}

enum tg_rc tg_fanout_tell_watched(struct tg_fanout *f, tg_str declared, bool is_watched)
{
    const struct tg_access_word w = {.declared = declared};

    return post(f, &w, true, is_watched);
}
