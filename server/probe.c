/* probe.c - one operation at a time: start it, run the loop until its end, hand over the answer.
 *
 * The link tells from its own thread, by mail. A mail names the channel it speaks of, so that one
 * that comes late is not taken for the next table's. */
#include "server/probe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "loop/loop.h"
#include "realtime/reader.h"
#include "realtime/table.h"
#include "realtime/template.h"
#include "server/options.h"
#include "util/json.h"

enum {
    MAX_MAILS = 1024,
    MAX_ASKED_AT_ONCE = 8,
    MAX_TARGET_BYTES = 8192,
    MAX_BEARER_BYTES = 16384,
    MAX_ANSWER_BYTES = 65536,
};

/* A channel that is taken is up within seconds; a refusal may be told 15 s late (protocol 6). */
#define FOLLOW_TIMEOUT TG_SEC(30)

struct tg_probe {
    const struct tg_config *cfg;
    struct tg_loop *loop;
    struct tg_upstream *upstream;
    struct tg_link *link; /* NULL: not yet */
    uint64_t channel;     /* the newest */
    bool is_following;
    struct tg_timer timer;
    struct tg_probe_answer followed; /* how it ended */
};

static void tell(struct tg_probe_answer *a, enum tg_rc rc, unsigned status, tg_str message)
{
    a->rc = rc;
    a->status = status;
    (void)snprintf(a->message, sizeof(a->message), "%.*s", TG_STR_ARG(message));
}

/* ---- rows ---- */

struct reading {
    struct tg_probe *p;
    const struct tg_probe_read *read;
    struct tg_probe_answer answer;
    bool is_enough;
};

static bool on_rows(tg_str rows, size_t n, void *arg)
{
    struct reading *r = arg;
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    (void)n;
    while (!r->is_enough && tg_json_next(rows, &at, &name, &row) == TG_OK) {
        r->is_enough = !r->read->on_row(row, r->read->arg);
    }
    if (r->is_enough) {
        tg_loop_stop(r->p->loop);
    }
    return !r->is_enough;
}

static void on_read(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct reading *r = arg;

    tell(&r->answer, rc, status, message);
    tg_loop_stop(r->p->loop);
}

struct tg_probe_answer tg_probe_read(struct tg_probe *p, const struct tg_probe_read *read)
{
    static const struct tg_reader_handler handler = {on_rows, on_read};
    const struct tg_reader_opts opts = {
        .loop = p->loop,
        .upstream = p->upstream,
        .apikey = tg_str_of(p->cfg->supabase.anon_key),
        .bearer = read->bearer,
        .table = read->table,
        .columns = read->columns,
        .n_columns = read->n_columns,
        .filter = read->filter,
        .page_rows = read->page_rows,
    };
    struct reading r = {.p = p, .read = read, .answer = {.rc = TG_OK}};
    struct tg_reader *reader = NULL;
    enum tg_rc rc = tg_reader_start(&opts, &handler, &r, &reader);

    if (rc != TG_OK) {
        tell(&r.answer, rc, 0, tg_str_of(tg_rc_text(rc)));
        return r.answer;
    }
    tg_loop_run(p->loop);
    if (r.is_enough) {
        tg_reader_cancel(reader);
    }
    return r.answer;
}

/* ---- may the bearer ---- */

struct asking {
    struct tg_probe *p;
    tg_str bearer; /* with its scheme */
    size_t next, n;
    unsigned n_under_way;
    tg_probe_target_fn *target;
    tg_probe_verdict_fn *verdict;
    void *arg;
};

struct question {
    struct asking *asking;
    size_t i;
};

static void ask_more(struct asking *a);

static struct tg_probe_answer answer_of(enum tg_rc rc, unsigned status, tg_str body)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf message = {.max = TG_PROBE_MESSAGE_MAX - 1};
    struct tg_probe_answer answer = {.rc = rc, .status = status};
    tg_str value = TG_STR_NONE;

    if (rc != TG_OK) {
        tell(&answer, rc, status, tg_str_of(tg_rc_text(rc)));
    } else if (status == 200) {
        answer.rc = tg_template_is_yes(body) ? TG_OK : TG_EFORBIDDEN;
    } else {
        if (tg_json_is_valid(body) && tg_json_member(body, "message", &value) == TG_OK &&
            tg_json_unquote(value, &message) != TG_OK) {
            tg_buf_clear(&message);
        }
        tell(&answer, TG_EUPSTREAM, status, tg_buf_view(&message));
    }
    return answer;
}

static void on_answer(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct question *q = arg;
    struct asking *a = q->asking;
    struct tg_probe_answer answer = answer_of(rc, status, body);

    a->n_under_way--;
    a->verdict(q->i, &answer, a->arg);
    free(q);
    ask_more(a);
}

static enum tg_rc ask_one(struct asking *a, size_t i)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf target = {.max = MAX_TARGET_BYTES};
    const struct tg_upstream_field fields[] = {
        {TG_STR("Accept"), TG_STR("application/json")},
        {TG_STR("User-Agent"), TG_STR("tidegate")},
        {TG_STR("apikey"), tg_str_of(a->p->cfg->supabase.anon_key)},
        {TG_STR("Authorization"), a->bearer},
    };
    struct tg_call_request req = {.method = TG_STR("GET"),
                                  .fields = fields,
                                  .n_fields = TG_ARRAY_LEN(fields),
                                  .service = "rest",
                                  .may_retry = true};
    struct question *q = NULL;
    enum tg_rc rc = a->target(i, &target, a->arg);

    if (rc != TG_OK) {
        return rc;
    }
    req.target = tg_buf_view(&target);
    q = TG_NEW(struct question);
    *q = (struct question){a, i};
    rc = tg_upstream_fetch(a->p->upstream, &req, TG_STR(""), MAX_ANSWER_BYTES, on_answer, q);
    if (rc != TG_OK) {
        free(q);
    }
    return rc;
}

static void ask_more(struct asking *a)
{
    while (a->next < a->n && a->n_under_way < MAX_ASKED_AT_ONCE) {
        const size_t i = a->next++;
        const enum tg_rc rc = ask_one(a, i);

        if (rc == TG_OK) {
            a->n_under_way++;
        } else {
            const struct tg_probe_answer answer = answer_of(rc, 0, TG_STR_NONE);

            a->verdict(i, &answer, a->arg);
        }
    }
    if (a->n_under_way == 0) {
        tg_loop_stop(a->p->loop);
    }
}

/* Within the loop, where alone it can be stopped. */
static void begin_asking(void *arg)
{
    ask_more(arg);
}

void tg_probe_ask(struct tg_probe *p, tg_str bearer, size_t n, tg_probe_target_fn *target,
                  tg_probe_verdict_fn *verdict, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf scheme = {.max = MAX_BEARER_BYTES};
    struct asking a = {
        .p = p,
        .n = n,
        .target = target,
        .verdict = verdict,
        .arg = arg,
    };

    (void)tg_buf_str(&scheme, TG_STR("Bearer "));
    (void)tg_buf_str(&scheme, bearer);
    a.bearer = tg_buf_view(&scheme);
    tg_loop_defer(p->loop, begin_asking, &a);
    tg_loop_run(p->loop);
}

/* ---- is it published ---- */

struct told {
    struct tg_mail mail;
    uint64_t channel;
    enum tg_rc rc;
    char message[TG_PROBE_MESSAGE_MAX];
};

static void drop_told(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct told, mail));
}

static void end_following(struct tg_probe *p, enum tg_rc rc, tg_str message)
{
    p->is_following = false;
    tg_loop_timer_stop(p->loop, &p->timer);
    tell(&p->followed, rc, 0, message);
    tg_loop_stop(p->loop);
}

static void run_told(struct tg_mail *mail, void *owner)
{
    struct tg_probe *p = owner;
    struct told *told = TG_CONTAINER_OF(mail, struct told, mail);

    if (p->is_following && told->channel == p->channel) {
        end_following(p, told->rc, tg_str_of(told->message));
    }
    free(told);
}

/* On the link's thread. A full mailbox: the timer ends the wait. */
static void post(struct tg_probe *p, uint64_t channel, enum tg_rc rc, tg_str message)
{
    struct told *told = TG_NEW(struct told);

    told->mail = (struct tg_mail){.drop = drop_told, .run = run_told};
    told->channel = channel;
    told->rc = rc;
    (void)snprintf(told->message, sizeof(told->message), "%.*s", TG_STR_ARG(message));
    if (tg_loop_post(p->loop, &told->mail) != TG_OK) {
        free(told);
    }
}

static void on_up(uint64_t id, void *arg)
{
    post(arg, id, TG_OK, TG_STR_NONE);
}

/* It is tried again by itself, until the time is over; but for a token that is not accepted. */
static void on_down(uint64_t id, enum tg_upstream_cause why, bool needs_token, void *arg)
{
    if (needs_token) {
        post(arg, id, TG_EBADTOKEN, tg_str_of(tg_upstream_word(why)));
    }
}

static void on_refused(uint64_t id, enum tg_upstream_cause why, tg_str words, void *arg)
{
    post(arg, id, why == TG_UP_SUBSCRIPTION ? TG_EREFUSED : tg_upstream_rc(why), words);
}

static void on_change(uint64_t id, tg_str payload, void *arg)
{
    (void)id;
    (void)payload;
    (void)arg;
}

static void on_online(bool online, void *arg)
{
    (void)online;
    (void)arg;
}

static void on_turn(void *arg)
{
    (void)arg;
}

static void on_timer(struct tg_timer *t)
{
    end_following(TG_CONTAINER_OF(t, struct tg_probe, timer), TG_ETIMEDOUT, TG_STR_NONE);
}

static enum tg_rc start_link(struct tg_probe *p)
{
    static const struct tg_link_handler handler = {
        .on_up = on_up,
        .on_down = on_down,
        .on_refused = on_refused,
        .on_change = on_change,
        .on_online = on_online,
        .on_rate = on_turn,
        .on_turn = on_turn,
    };
    const struct tg_link_opts opts = tg_options_link(p->cfg);
    enum tg_rc rc = TG_OK;

    if (p->link != NULL) {
        return TG_OK;
    }
    rc = tg_link_create(&opts, &handler, p, &p->link);
    if (rc == TG_OK) {
        rc = tg_link_start(p->link);
    }
    if (rc != TG_OK) {
        tg_link_destroy(p->link);
        p->link = NULL;
    }
    return rc;
}

static void begin_waiting(void *arg)
{
    struct tg_probe *p = arg;

    if (p->is_following) { /* else the answer was quicker than the end of the turn */
        tg_loop_timer_start(p->loop, &p->timer, FOLLOW_TIMEOUT);
    }
}

struct tg_probe_answer tg_probe_follow(struct tg_probe *p, const struct tg_table *table,
                                       tg_str bearer)
{
    const bool is_service = p->cfg->supabase.service_key[0] != '\0';
    const struct tg_link_channel channel = {.schema = table->schema,
                                            .table = table->name,
                                            .token = is_service ? TG_STR("") : bearer,
                                            .is_service = is_service};
    enum tg_rc rc = start_link(p);

    p->channel++;
    p->followed = (struct tg_probe_answer){.rc = TG_OK};
    p->is_following = true;
    if (rc == TG_OK) {
        rc = tg_link_join(p->link, p->channel, &channel);
    }
    if (rc != TG_OK) {
        p->is_following = false;
        tell(&p->followed, rc, 0, tg_str_of(tg_rc_text(rc)));
        return p->followed;
    }
    tg_loop_defer(p->loop, begin_waiting, p);
    tg_loop_run(p->loop);
    /* It stays joined until the link stops, soon: leaving could fail, and to no use. */
    return p->followed;
}

/* ---- life ---- */

enum tg_rc tg_probe_create(const struct tg_config *c, struct tg_probe **ret_probe)
{
    struct tg_upstream_opts opts = tg_options_upstream(c);
    struct tg_probe *p = TG_NEW(struct tg_probe);
    enum tg_rc rc = tg_loop_create("check", MAX_MAILS, &p->loop);

    (void)signal(SIGPIPE, SIG_IGN);
    p->cfg = c;
    tg_timer_init(&p->timer, on_timer);
    opts.breaker_failures = 0;
    opts.max_waiting = TG_MAX(opts.max_waiting, (unsigned)MAX_ASKED_AT_ONCE);
    if (rc == TG_OK) {
        tg_loop_set_owner(p->loop, p);
        rc = tg_upstream_create(p->loop, &opts, &p->upstream);
    }
    if (rc != TG_OK) {
        tg_probe_destroy(p);
        return rc;
    }
    *ret_probe = p;
    return TG_OK;
}

void tg_probe_destroy(struct tg_probe *p)
{
    if (p == NULL) {
        return;
    }
    if (p->link != NULL) {
        tg_link_stop(p->link);
        tg_link_destroy(p->link);
    }
    tg_upstream_destroy(p->upstream);
    tg_loop_destroy(p->loop);
    free(p);
}
