/* redis_int.h - a handle in Redis: what redis.c (its way up and down) and redis_ask.c (commands and
 * their replies) share. Everything here belongs to the handle's loop. */
#ifndef TG_STORE_REDIS_INT_H
#define TG_STORE_REDIS_INT_H

#include "store/port.h"
#include "store/redis_link.h"
#include "store/redis_tail.h"
#include "store/redis_text.h"

enum { RUN_ID_MAX = 64 };

struct redis_group {
    struct tg_store_group base;
    struct tg_redis_url url;
    struct tg_redis_keys keys;
};

enum redis_stage { WAITING, RESOLVING, CONNECTING, SETTING_UP, UP };

struct redis_store {
    struct tg_store base;
    enum redis_stage stage;
    struct tg_redis_link *link; /* operations */
    struct tg_redis_tail *tail;
    struct tg_port *port; /* for the resolver */
    struct tg_watch watch;
    struct tg_timer backoff;
    struct tg_timer deadline; /* of setting up, and of a heartbeat */
    struct tg_timer heartbeat;
    unsigned n_losses;         /* in a row */
    bool is_settling;          /* the script was asked and has not answered */
    bool is_log_doubted;       /* the tail has met another log's beginning */
    bool is_loading;           /* scripts are asked for or on their way */
    unsigned missing;          /* scripts that the server has not, a bit of each */
    unsigned n_setup;          /* commands before UP that have not been answered */
    size_t n_writing;          /* commands that write to the log and have not been answered */
    struct tg_pos settled;     /* the log's last id when the epoch was last asked for */
    struct tg_list held;       /* commands that wait for the scripts, in order */
    char address[64];          /* of the host's name */
    char run[RUN_ID_MAX];      /* of the server that this connection has */
    char last_run[RUN_ID_MAX]; /* of the one that was settled with before */
};

static inline struct redis_group *redis_group_of(const struct redis_store *s)
{
    return TG_CONTAINER_OF(s->base.group, struct redis_group, base);
}

static inline struct redis_store *redis_store_of(struct tg_store *s)
{
    return TG_CONTAINER_OF(s, struct redis_store, base);
}

/* redis.c */
void redis_lose(struct redis_store *s, const char *why);
/* What an operator must put right; asked again all the while. */
void redis_refuse(struct redis_store *s, const char *why, tg_str detail);
void redis_drop_tail(struct redis_store *s);

/* redis_ask.c */
enum tg_rc redis_submit(struct tg_store *base, tg_id op, const struct tg_ask *ask);
/* Logs in, asks who the server is, loads the scripts that it has not, settles: then up. */
void redis_set_up(struct redis_store *s);
/* Asks which log it is. */
void redis_settle(struct redis_store *s);
/* Forgets the commands that wait for scripts. */
void redis_drop_held(struct redis_store *s);

#endif
