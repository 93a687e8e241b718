/* link_channel.c - channels: joining one at a time, what upstream says of them, losing them. */
#include <stdlib.h>

#include "realtime/link_int.h"
#include "realtime/phoenix.h"
#include "util/json.h"
#include "util/log.h"

#define JOIN_TIMEOUT TG_SEC(30)
#define SUBSCRIBE_TIMEOUT TG_SEC(60)
#define EMPTY_SOCKET_LINGER TG_SEC(30)

/* ---- sending ---- */

/* Builds one frame and sends it. A socket whose peer does not read is closed. */
void link_send(struct socket *s, struct tg_buf *frame)
{
    if (tg_buf_rc(frame) != TG_OK || tg_ws_send(s->ws, tg_buf_view(frame)) != TG_OK) {
        tg_ws_close(s->ws);
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
    ch->has_pushed_token = false;
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
    ch->has_pushed_token = true;
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
void channel_lose(struct channel *ch, const char *why, bool needs_token, tg_usec retry_in)
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

void channel_free(struct channel *ch)
{
    struct tg_link *l = ch->link;

    end_joining(ch);
    (void)tg_map_remove(&l->channels, tg_str_of(ch->topic));
    tg_list_remove(&ch->node);
    ch->socket->n_channels--;
    tg_count_sub(&l->counts.channels, 1);
    free(ch->schema);
    free(ch->table);
    free(ch->filter);
    free(ch->token);
    free(ch);
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
    free(ch->token);
    ch->token = token;
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

static void refuse_channel(struct channel *ch, tg_str message)
{
    struct tg_link *l = ch->link;
    uint64_t id = ch->id;

    tg_count_add(&l->counts.refused, 1);
    l->h.on_refused(id, message, l->arg);
    channel_leave(ch);
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
    tg_ws_close(s->ws);
}

/* Begins the next join if the socket is free and the pace allows it. */
void channel_join_next(struct socket *s)
{
    struct tg_link *l = s->link;
    tg_usec now = tg_clock_mono_us();
    struct channel *next = NULL;

    if (s->state != SO_OPEN || s->joining != NULL) {
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
    if (l->next_join > now) {
        link_start_timer(l, &s->pace, l->next_join - now);
        return;
    }
    l->next_join = now + TG_SEC(1) / l->opts.joins_per_second;
    tg_count_add(&l->counts.joins, 1);
    next->state = CH_JOINING;
    s->joining = next;
    link_start_timer(l, &next->timer, JOIN_TIMEOUT);
    send_join(next);
}

/* ---- what upstream says ---- */

static bool says(tg_str text, const char *what)
{
    return memmem(text.p, text.n, what, strlen(what)) != NULL;
}

static bool is_token_trouble(tg_str text)
{
    return says(text, "InvalidJWT") || says(text, "Token has expired") || says(text, "JwtSig") ||
           says(text, "MalformedJWT") || says(text, "`role` and `exp`") ||
           says(text, "not a valid JWT");
}

/* Errors of a subscription that trying again cannot mend (protocol page, section 6). */
static bool is_final(tg_str text)
{
    return says(text, "Unable to subscribe to changes") || says(text, "Error parsing") ||
           says(text, "Column selection") || says(text, "No subscription params") ||
           says(text, "Unauthorized") || says(text, "TopicNameRequired");
}

/* The service has no other token: its key may only be worth more on a new socket, for the edge
 * makes a token of it at each connect. */
static bool begins_anew(const struct channel *ch, tg_str text)
{
    if (!ch->socket->is_service || !is_token_trouble(text)) {
        return false;
    }
    tg_log_limited(TG_LOG_WARN, "service_token", 10, TG_KN("channel", ch->id),
                   TG_KS("reason", text));
    tg_ws_close(ch->socket->ws);
    return true;
}

static void on_reply(struct channel *ch, const struct tg_phoenix *f)
{
    bool ok = false;
    tg_str response = TG_STR_NONE;
    struct socket *s = ch->socket;
    uint64_t ref = 0;

    if (ch->state != CH_JOINING || tg_str_to_u64(f->ref, &ref) != TG_OK || ref != ch->join_ref ||
        tg_phoenix_reply(f->payload, &ok, &response) != TG_OK) {
        return;
    }
    end_joining(ch);
    if (ok) {
        ch->state = CH_JOINED;
        s->failures = 0;
        link_start_timer(ch->link, &ch->timer, SUBSCRIBE_TIMEOUT);
        if (ch->has_new_token) {
            send_token(ch);
        }
    } else if (is_final(response)) {
        tg_count_add(&ch->link->counts.join_errors, 1);
        refuse_channel(ch, response);
        return;
    } else if (begins_anew(ch, response)) {
        tg_count_add(&ch->link->counts.join_errors, 1);
        channel_lose(ch, "token", false, 0);
        return;
    } else {
        tg_count_add(&ch->link->counts.join_errors, 1);
        ch->failures++;
        tg_log_limited(TG_LOG_WARN, "join_refused", 10, TG_KN("channel", ch->id),
                       TG_KS("reason", response));
        channel_lose(ch, "refused", is_token_trouble(response) && !ch->has_new_token,
                     link_backoff(ch->link, ch->failures));
    }
    channel_join_next(s);
}

static void on_subscribed(struct channel *ch)
{
    if (ch->state == CH_UP && ch->has_pushed_token) {
        ch->has_pushed_token = false;
        return;
    }
    if (ch->state != CH_JOINED && ch->state != CH_UP) {
        return; /* of a join of before; the timer is that of the next */
    }
    tg_wheel_stop(&ch->link->wheel, &ch->timer);
    ch->state = CH_UP;
    ch->has_pushed_token = false;
    ch->failures = 0;
    ch->link->h.on_up(ch->id, ch->link->arg);
}

static void on_system(struct channel *ch, tg_str payload)
{
    tg_str status = TG_STR_NONE;
    tg_str message = TG_STR_NONE;

    if (tg_json_member(payload, "status", &status) != TG_OK ||
        tg_json_member(payload, "message", &message) != TG_OK) {
        return;
    }
    if (tg_str_eq(status, TG_STR("\"ok\""))) {
        if (says(message, "Subscribed to PostgreSQL")) {
            on_subscribed(ch);
        }
        return;
    }
    if (is_final(message)) {
        refuse_channel(ch, message);
    } else if (begins_anew(ch, message)) {
        channel_lose(ch, "token", false, 0);
    } else if (is_token_trouble(message)) {
        /* phx_close follows; by then the channel is parked and the close is ignored. */
        channel_lose(ch, "token", true, 0);
    } else if (ch->state == CH_UP) {
        tg_log_limited(TG_LOG_WARN, "channel_error", 10, TG_KN("channel", ch->id),
                       TG_KS("message", message));
    }
}

static void on_channel_gone(struct channel *ch, const struct tg_phoenix *f)
{
    uint64_t join_ref = 0;
    struct socket *s = ch->socket;

    if (!channel_is_on_wire(ch) || tg_str_to_u64(f->join_ref, &join_ref) != TG_OK ||
        join_ref != ch->join_ref) {
        return;
    }
    ch->failures++;
    channel_lose(ch, "closed", false, link_backoff(ch->link, ch->failures));
    channel_join_next(s);
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
        if (ch->state == CH_UP) {
            tg_count_add(&l->counts.changes, 1);
            l->h.on_change(ch->id, f->payload, l->arg);
        }
    } else if (tg_str_eq(f->event, TG_STR("phx_reply"))) {
        on_reply(ch, f);
    } else if (tg_str_eq(f->event, TG_STR("system"))) {
        on_system(ch, f->payload);
    } else if (tg_str_eq(f->event, TG_STR("phx_close")) ||
               tg_str_eq(f->event, TG_STR("phx_error"))) {
        on_channel_gone(ch, f);
    }
}
