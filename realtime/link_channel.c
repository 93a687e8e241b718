/* link_channel.c - channels: joining one at a time, what upstream says of them, losing them. */
#include <stdlib.h>

#include "realtime/link_int.h"
#include "realtime/phoenix.h"
#include "util/json.h"
#include "util/log.h"

#define JOIN_TIMEOUT TG_SEC(30)
#define SUBSCRIBE_TIMEOUT TG_SEC(60)
#define EMPTY_SOCKET_LINGER TG_SEC(30)

/* Upstream waits at least a second before it subscribes with a new token, three at most, and then
 * writes to the database (protocol page, 5). */
#define ANSWER_LEAST TG_SEC(1)
#define ANSWER_MOST TG_SEC(30)

enum { MAX_WORDS = 4096 };

/* ---- sending ---- */

/* Builds one frame and sends it. A socket whose peer does not read is closed. */
void link_send(struct socket *s, struct tg_buf *frame)
{
    if (tg_buf_rc(frame) != TG_OK || tg_ws_send(s->ws, tg_buf_view(frame)) != TG_OK) {
        socket_close(s, TG_UP_SILENT);
    }
    tg_buf_fini(frame);
}

static void send_join(struct channel *ch)
{
    struct socket *s = ch->socket;
    struct tg_phoenix_changes changes = {tg_str_of(ch->schema), tg_str_of(ch->table),
                                         tg_str_of(ch->filter)};
    struct tg_buf frame = {.max = LINK_MAX_FRAME};

    ch->join_ref = ++s->ref;
    ch->token_pushed_at = 0;
    ch->token_taken_at = 0;
    ch->has_new_token = false;
    tg_phoenix_join(&frame, ch->join_ref, tg_str_of(ch->topic), &changes, tg_str_of(ch->token));
    link_send(s, &frame);
}

static void send_leave(struct channel *ch)
{
    struct tg_buf frame = {.max = LINK_MAX_FRAME};

    tg_phoenix_leave(&frame, ch->join_ref, ++ch->socket->ref, tg_str_of(ch->topic));
    link_send(ch->socket, &frame);
}

static void send_token(struct channel *ch)
{
    struct tg_buf frame = {.max = LINK_MAX_FRAME};

    ch->has_new_token = false;
    ch->token_pushed_at = tg_clock_mono_us();
    tg_phoenix_token(&frame, ch->join_ref, ++ch->socket->ref, tg_str_of(ch->topic),
                     tg_str_of(ch->token));
    link_send(ch->socket, &frame);
}

/* ---- channels ---- */

bool channel_is_on_wire(const struct channel *ch)
{
    return ch->state == CH_JOINING || ch->state == CH_JOINED || ch->state == CH_UP;
}

/* Leaves JOINING: the socket may join its next channel. */
static void end_joining(struct channel *ch)
{
    if (ch->socket->joining == ch) {
        ch->socket->joining = NULL;
    }
    tg_wheel_stop(&ch->link->wheel, &ch->timer);
}

/* The channel is no longer on the wire. */
void channel_lose(struct channel *ch, enum tg_upstream_cause why, bool needs_token,
                  tg_usec retry_in)
{
    bool was_up = ch->state == CH_UP;

    end_joining(ch);
    ch->state = needs_token ? CH_PARKED : CH_WAITING;
    if (!needs_token) {
        ch->not_before = tg_clock_mono_us() + retry_in;
        link_start_timer(ch->link, &ch->timer, retry_in);
    }
    if (was_up || needs_token) {
        ch->link->h.on_down(ch->id, why, needs_token, ch->link->arg);
    }
}

static void detach(struct channel *ch)
{
    tg_list_remove(&ch->node);
    ch->socket->n_channels--;
}

void channel_free(struct channel *ch)
{
    struct tg_link *l = ch->link;

    end_joining(ch);
    (void)tg_map_remove(&l->channels, tg_str_of(ch->topic));
    detach(ch);
    tg_count_sub(&l->counts.channels, 1);
    link_clear(l, &ch->trouble);
    free(ch->schema);
    free(ch->table);
    free(ch->filter);
    free(ch->token);
    free(ch);
}

void channel_settle(struct channel *ch, bool is_service)
{
    struct socket *s = socket_with_room(ch->link, is_service);

    ch->socket = s;
    tg_list_append(&s->channels, &ch->node);
    s->n_channels++;
    if (s->state == SO_BACKOFF && !tg_timer_is_on(&s->timer)) {
        socket_dial(s);
    } else {
        channel_join_next(s);
    }
}

void channel_move(struct channel *ch)
{
    detach(ch);
    channel_settle(ch, ch->socket->is_service);
}

void channel_leave(struct channel *ch)
{
    struct socket *s = ch->socket;

    if (s->state == SO_OPEN && channel_is_on_wire(ch)) {
        send_leave(ch);
    }
    channel_free(ch);
    if (s->n_channels == 0) {
        /* Upstream cuts sockets without channels in its own time; ours ends sooner. */
        link_start_timer(s->link, &s->pace, EMPTY_SOCKET_LINGER);
    } else if (s->state == SO_OPEN) {
        channel_join_next(s);
    }
}

void channel_take_token(struct channel *ch, char *token)
{
    bool is_same = strcmp(ch->token, token) == 0;

    free(ch->token);
    ch->token = token;
    if (is_same && ch->state != CH_PARKED) {
        return; /* upstream ignores it, too */
    }
    if (ch->state == CH_UP || ch->state == CH_JOINED) {
        send_token(ch);
    } else if (ch->state == CH_JOINING) {
        ch->has_new_token = true; /* the join went out with the one before */
    } else if (ch->state == CH_PARKED) {
        ch->state = CH_WAITING;
        ch->not_before = 0;
        channel_join_next(ch->socket);
    }
}

void channel_on_timer(struct tg_timer *t)
{
    struct channel *ch = TG_CONTAINER_OF(t, struct channel, timer);
    struct socket *s = ch->socket;

    if (ch->state == CH_WAITING) {
        channel_join_next(s);
        return;
    }
    /* No answer to a join, or no `Subscribed`: the socket is stuck. */
    tg_log(TG_LOG_WARN, "link_stuck", TG_KN("channel", ch->id));
    socket_close(s, TG_UP_SILENT);
}

/* Begins the next join if the socket is free and the pace allows it. */
void channel_join_next(struct socket *s)
{
    struct tg_link *l = s->link;
    tg_usec now = tg_clock_mono_us();
    tg_usec pace = 0;
    struct channel *next = NULL;

    if (s->state != SO_OPEN || s->joining != NULL || s->closing != TG_UP_NONE) {
        return;
    }
    for (struct tg_list *n = s->channels.next; n != &s->channels && next == NULL; n = n->next) {
        struct channel *ch = TG_CONTAINER_OF(n, struct channel, node);

        if (ch->state == CH_WAITING && ch->not_before <= now) {
            next = ch;
        }
    }
    if (next == NULL) {
        return;
    }
    if (TG_MAX(l->next_join, s->hold_until) > now) {
        link_start_timer(l, &s->pace, TG_MAX(l->next_join, s->hold_until) - now);
        return;
    }
    pace = TG_SEC(1) / l->opts.joins_per_second;
    l->next_join = now + pace + link_random(l, pace / 2);
    tg_count_add(&l->counts.joins, 1);
    next->state = CH_JOINING;
    s->joining = next;
    link_start_timer(l, &next->timer, JOIN_TIMEOUT);
    send_join(next);
}

/* ---- what upstream says ---- */

/* The words of {"reason":"..."} or "...". */
static tg_str take_words(tg_str json, struct tg_buf *out)
{
    tg_str text = TG_STR_NONE;

    if (tg_json_member(json, "reason", &text) != TG_OK) {
        text = json;
    }
    return tg_json_unquote(text, out) == TG_OK ? tg_buf_view(out) : json;
}

static void on_joined(struct channel *ch)
{
    struct socket *s = ch->socket;

    ch->state = CH_JOINED;
    s->failures = 0;
    s->n_holds = 0;
    link_clear(s->link, &s->trouble);
    link_start_timer(ch->link, &ch->timer, SUBSCRIBE_TIMEOUT);
    if (ch->has_new_token) {
        send_token(ch);
    }
}

static void on_gone(struct channel *ch, enum tg_upstream_cause cause, tg_str words)
{
    struct socket *s = ch->socket;

    channel_on_error(ch, cause, words);
    channel_join_next(s);
}

static void on_reply(struct channel *ch, const struct tg_phoenix *f)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = MAX_WORDS};
    bool ok = false;
    tg_str response = TG_STR_NONE;
    struct socket *s = ch->socket;
    uint64_t ref = 0;

    if (tg_str_to_u64(f->ref, &ref) != TG_OK ||
        tg_phoenix_reply(f->payload, &ok, &response) != TG_OK) {
        return;
    }
    response = take_words(response, &text);
    if (ch->state == CH_JOINING && ref == ch->join_ref) {
        end_joining(ch);
        if (ok) {
            on_joined(ch);
            channel_join_next(s);
        } else {
            tg_count_add(&ch->link->counts.join_errors, 1);
            on_gone(ch, tg_upstream_words(response), response);
        }
    } else if (!ok && (ch->state == CH_JOINED || ch->state == CH_UP) && ref > ch->join_ref &&
               tg_upstream_words(response) == TG_UP_UNMATCHED) {
        on_gone(ch, TG_UP_UNMATCHED, response); /* a token went to where nobody is any more */
    }
}

/* ---- subscribed, and subscribed again ---- */

static bool is_since(tg_usec then, tg_usec now, tg_usec at_most)
{
    return then != 0 && now - then <= at_most;
}

/* A change of the publication takes away all subscriptions and makes every channel subscribe
 * anew: what another channel took for the answer to its token just now was rather that. */
static void doubt_answers(struct tg_link *l, tg_usec now)
{
    for (struct tg_list *n = l->sockets.next; n != &l->sockets; n = n->next) {
        struct socket *s = TG_CONTAINER_OF(n, struct socket, node);

        for (struct tg_list *m = s->channels.next; m != &s->channels; m = m->next) {
            struct channel *ch = TG_CONTAINER_OF(m, struct channel, node);

            if (ch->state == CH_UP && is_since(ch->token_taken_at, now, ANSWER_MOST)) {
                ch->token_taken_at = 0;
                l->h.on_up(ch->id, l->arg);
            }
        }
    }
}

/* Whether a `Subscribed` of a channel that is up answers our token. Upstream does not say: it has
 * one timer per channel for both, so that one frame may stand for a token and for a change of the
 * publication as well. It can be the token's only in its time, and is not believed while other
 * channels are subscribed anew without one. */
static bool answers_token(struct channel *ch)
{
    struct tg_link *l = ch->link;
    tg_usec now = tg_clock_mono_us();
    tg_usec pushed_at = ch->token_pushed_at;

    ch->token_pushed_at = 0;
    ch->token_taken_at = 0;
    if (is_since(pushed_at, now, ANSWER_MOST) && !is_since(pushed_at, now, ANSWER_LEAST - 1)) {
        if (is_since(l->anew_at, now, ANSWER_MOST)) {
            return false;
        }
        ch->token_taken_at = now;
        return true;
    }
    l->anew_at = now;
    doubt_answers(l, now);
    return false;
}

static void on_subscribed(struct channel *ch)
{
    if (ch->state != CH_JOINED && ch->state != CH_UP) {
        return; /* of a join of before; the timer is that of the next */
    }
    tg_wheel_stop(&ch->link->wheel, &ch->timer);
    link_clear(ch->link, &ch->trouble);
    link_clear(ch->link, &ch->link->trouble);
    if (ch->state == CH_UP && answers_token(ch)) {
        return;
    }
    ch->state = CH_UP;
    ch->token_pushed_at = 0;
    ch->failures = 0;
    ch->link->h.on_up(ch->id, ch->link->arg);
}

/* Of the subscription: upstream tries again what it does not call final. Of the channel: its
 * `phx_close` follows, but for a token there is nothing to wait for. */
static void on_complaint(struct channel *ch, bool is_subscription, tg_str words)
{
    enum tg_upstream_cause cause = tg_upstream_words(words);
    enum tg_upstream_class class = tg_upstream_class(cause);

    if (class == TG_UPSTREAM_GIVE_UP || class == TG_UPSTREAM_TOKEN) {
        on_gone(ch, cause, words);
    } else {
        channel_note(ch, cause, words);
        if (cause == TG_UP_MESSAGE_RATE) {
            link_over_rate(ch->link);
        }
        if (is_subscription) {
            ch->token_pushed_at = 0; /* its rows may be gone until it comes */
            link_start_timer(ch->link, &ch->timer, SUBSCRIBE_TIMEOUT);
        }
    }
}

static void on_system(struct channel *ch, tg_str payload)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = MAX_WORDS};
    tg_str status = TG_STR_NONE;
    tg_str message = TG_STR_NONE;
    tg_str extension = TG_STR_NONE;

    if (tg_json_member(payload, "status", &status) != TG_OK ||
        tg_json_member(payload, "message", &message) != TG_OK || !channel_is_on_wire(ch)) {
        return;
    }
    message = take_words(message, &text);
    if (!tg_str_eq(status, TG_STR("\"ok\""))) {
        on_complaint(ch,
                     tg_json_member(payload, "extension", &extension) == TG_OK &&
                         tg_str_eq(extension, TG_STR("\"postgres_changes\"")),
                     message);
    } else if (tg_str_has_prefix(message, TG_STR("Subscribed to PostgreSQL"))) {
        on_subscribed(ch);
    }
}

/* What was said of the channel just before says why. */
static void on_channel_gone(struct channel *ch, const struct tg_phoenix *f, bool is_crash)
{
    uint64_t join_ref = 0;
    enum tg_upstream_cause cause = is_crash ? TG_UP_CRASHED : TG_UP_CLOSED;

    if (!channel_is_on_wire(ch) || tg_str_to_u64(f->join_ref, &join_ref) != TG_OK ||
        join_ref != ch->join_ref) {
        return;
    }
    on_gone(ch, ch->trouble == TG_UP_NONE ? cause : ch->trouble, TG_STR_NONE);
}

void channel_on_frame(struct socket *s, const struct tg_phoenix *f)
{
    struct tg_link *l = s->link;
    struct channel *ch = NULL;

    if (tg_str_eq(f->topic, TG_STR("phoenix"))) {
        s->heartbeat_ref = 0;
        return;
    }
    ch = tg_map_find(&l->channels, f->topic);
    if (ch == NULL || ch->socket != s) {
        return; /* left already */
    }
    if (tg_str_eq(f->event, TG_STR("postgres_changes"))) {
        link_count_change(l);
        if (ch->state == CH_UP) {
            tg_count_add(&l->counts.changes, 1);
            l->h.on_change(ch->id, f->payload, l->arg);
        }
    } else if (tg_str_eq(f->event, TG_STR("phx_reply"))) {
        on_reply(ch, f);
    } else if (tg_str_eq(f->event, TG_STR("system"))) {
        on_system(ch, f->payload);
    } else if (tg_str_eq(f->event, TG_STR("phx_close"))) {
        on_channel_gone(ch, f, false);
    } else if (tg_str_eq(f->event, TG_STR("phx_error"))) {
        on_channel_gone(ch, f, true);
    }
}
