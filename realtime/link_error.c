/* link_error.c - what is done about upstream's errors, by the class that upstream_error.h sorts
 * them into; and who hears of it: a counter per class always, the log once per cause while
 * anything has that trouble, and again when upstream's words for it change. */
#include "realtime/link_int.h"
#include "util/log.h"

/* Where the project has enough, the first wait is already some seconds: upstream counts over a
 * minute, and everything asked in vain counts as well. */
enum { BACK_OFF_FROM = 5 };

/* ---- telling the operator ---- */

/* The words without what they quote behind the first colon: what users look for stands there. */
static tg_str quotable(tg_str words)
{
    for (size_t i = 0; i + 1 < words.n; i++) {
        if (words.p[i] == ':' && words.p[i + 1] == ' ') {
            return tg_str_make(words.p, i);
        }
    }
    return words;
}

/* Without numbers: how long ago a token ended does not make another message of it. */
static uint64_t hash_words(tg_str words)
{
    char text[160];
    size_t n = 0;

    for (size_t i = 0; i < words.n && n < sizeof(text); i++) {
        if (words.p[i] < '0' || words.p[i] > '9') {
            text[n++] = words.p[i];
        }
    }
    return tg_hash(tg_str_make(text, n));
}

static void log_trouble(struct tg_link *l, enum tg_upstream_cause cause, tg_str words)
{
    const uint64_t hash = hash_words(words);

    if (l->troubles[cause].is_logged && (words.n == 0 || l->troubles[cause].words == hash)) {
        return;
    }
    l->troubles[cause].is_logged = true;
    l->troubles[cause].words = hash;
    tg_log_limited(TG_LOG_WARN, "upstream_error", 60, TG_KZ("cause", tg_upstream_word(cause)),
                   TG_KZ("class", tg_upstream_class_name(tg_upstream_class(cause))),
                   TG_KS("message", words));
}

void link_clear(struct tg_link *l, enum tg_upstream_cause *slot)
{
    const enum tg_upstream_cause cause = *slot;

    *slot = TG_UP_NONE;
    if (cause == TG_UP_NONE || --l->troubles[cause].n > 0) {
        return;
    }
    l->troubles[cause].is_logged = false;
    if (!l->stopping) {
        tg_log_limited(TG_LOG_INFO, "upstream_cleared", 60,
                       TG_KZ("cause", tg_upstream_word(cause)));
    }
}

/* `slot` is what the channel, the socket or the project suffers from. */
static void note(struct tg_link *l, enum tg_upstream_cause *slot, enum tg_upstream_cause cause,
                 tg_str words)
{
    if (*slot != cause) {
        link_clear(l, slot);
        *slot = cause;
        l->troubles[cause].n++;
    }
    log_trouble(l, cause, words);
}

static void count(struct tg_link *l, enum tg_upstream_cause cause)
{
    tg_count_add(&l->counts.errors[tg_upstream_class(cause)], 1);
}

/* ---- what is done ---- */

static void refuse(struct channel *ch, enum tg_upstream_cause cause, tg_str words)
{
    struct tg_link *l = ch->link;

    /* What is wrong with one subscription is told to who asked for it. */
    if (tg_upstream_rc(cause) == TG_EREALTIME) {
        note(l, &l->trouble, cause, quotable(words));
    }
    tg_count_add(&l->counts.refused, 1);
    l->h.on_refused(ch->id, cause, words, l->arg);
    channel_leave(ch);
}

static void retry(struct channel *ch, enum tg_upstream_cause cause)
{
    ch->failures++;
    channel_lose(ch, cause, false, link_backoff(ch->link, ch->failures));
}

static void back_off(struct channel *ch, enum tg_upstream_cause cause)
{
    struct socket *s = ch->socket;
    tg_usec wait = link_backoff(ch->link, BACK_OFF_FROM + s->n_holds);

    s->n_holds++;
    s->hold_until = tg_clock_mono_us() + wait;
    channel_lose(ch, cause, false, wait);
}

/* The service has no other token: its key may only be worth more on a new socket, for the edge
 * makes a token of it at each connect. */
static void want_token(struct channel *ch, enum tg_upstream_cause cause)
{
    if (ch->socket->is_service) {
        channel_lose(ch, cause, false, 0);
        socket_close(ch->socket, cause);
    } else if (ch->has_new_token) {
        retry(ch, cause);
    } else {
        channel_lose(ch, cause, true, 0);
    }
}

static bool has_joined_others(const struct channel *ch)
{
    const struct socket *s = ch->socket;

    for (struct tg_list *n = s->channels.next; n != &s->channels; n = n->next) {
        const struct channel *other = TG_CONTAINER_OF(n, struct channel, node);

        if (other != ch && channel_is_on_wire(other)) {
            return true;
        }
    }
    return false;
}

/* Fewer fit than the configuration says: the socket keeps what it has, and all that still waits
 * on it goes elsewhere, so that not each of them is refused in turn. */
static void move(struct channel *ch, enum tg_upstream_cause cause)
{
    struct socket *s = ch->socket;
    struct tg_list *next = NULL;

    if (!has_joined_others(ch)) {
        back_off(ch, cause);
        return;
    }
    channel_lose(ch, cause, false, 0);
    s->room = 0;
    for (struct tg_list *n = s->channels.next; n != &s->channels; n = next) {
        struct channel *one = TG_CONTAINER_OF(n, struct channel, node);

        next = n->next;
        if (channel_is_on_wire(one)) {
            s->room++;
        } else {
            channel_move(one);
        }
    }
}

void channel_on_error(struct channel *ch, enum tg_upstream_cause cause, tg_str words)
{
    struct tg_link *l = ch->link;

    count(l, cause);
    if (tg_upstream_class(cause) != TG_UPSTREAM_GIVE_UP) {
        note(l, &ch->trouble, cause, quotable(words));
    }
    switch (tg_upstream_class(cause)) {
    case TG_UPSTREAM_GIVE_UP:
        refuse(ch, cause, words);
        break;
    case TG_UPSTREAM_TOKEN:
        want_token(ch, cause);
        break;
    case TG_UPSTREAM_MOVE:
        move(ch, cause);
        break;
    case TG_UPSTREAM_BACK_OFF:
        back_off(ch, cause);
        break;
    case TG_UPSTREAM_RETRY:
    case TG_UPSTREAM_CLASSES:
        retry(ch, cause);
        break;
    }
}

void channel_note(struct channel *ch, enum tg_upstream_cause cause, tg_str words)
{
    count(ch->link, cause);
    note(ch->link, &ch->trouble, cause, quotable(words));
}

void socket_on_error(struct socket *s, enum tg_upstream_cause cause, tg_str words)
{
    struct tg_link *l = s->link;

    count(l, cause);
    if (tg_upstream_class(cause) != TG_UPSTREAM_GIVE_UP) {
        note(l, &s->trouble, cause, words);
        s->n_holds += tg_upstream_class(cause) == TG_UPSTREAM_BACK_OFF ? 1 : 0;
        return;
    }
    while (!tg_list_empty(&s->channels)) {
        refuse(TG_CONTAINER_OF(s->channels.next, struct channel, node), cause, words);
    }
}

tg_usec socket_backoff(struct socket *s, enum tg_upstream_cause cause)
{
    bool is_enough = tg_upstream_class(cause) == TG_UPSTREAM_BACK_OFF;

    return link_backoff(s->link, is_enough ? BACK_OFF_FROM + s->n_holds : s->failures);
}
