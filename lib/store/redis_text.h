/* redis_text.h - operations as commands of Redis. No state. */
#ifndef TG_STORE_REDIS_TEXT_H
#define TG_STORE_REDIS_TEXT_H

#include "store/backend.h"
#include "store/redis_url.h"
#include "store/scripts.h"
#include "util/arena.h"
#include "util/buf.h"

enum { TG_SHA_LEN = 40 };

/* Keys that every command names, made once per group: {prefix}:1:... */
struct tg_redis_keys {
    struct tg_arena arena;
    tg_str base;
    tg_str meta; /* hash: epoch, start, last, run, retain, floor */
    tg_str log;
    tg_str floors;
    tg_str gaps; /* of all feeds */
    tg_str fence;
    tg_str deny;
};
void tg_redis_keys_init(struct tg_redis_keys *k, tg_str prefix);
void tg_redis_keys_fini(struct tg_redis_keys *k);
/* One of several parts of a key, percent-encoded, colons too: parts cannot run together. */
void tg_redis_put_part(struct tg_buf *b, tg_str part);

/* A command, grown argument by argument. Zeroed is empty. The texts are borrowed until
 * tg_redis_args_format(), which empties it. */
struct tg_redis_args {
    struct tg_arena arena;
    const char **argv;
    size_t *lengths;
    int n;
    int max;
};
void tg_redis_arg(struct tg_redis_args *a, tg_str text);
void tg_redis_arg_u64(struct tg_redis_args *a, uint64_t n);
/* The key of this kind and name: "{prefix}:1:<kind><name>". */
void tg_redis_arg_key(struct tg_redis_args *a, const struct tg_redis_keys *k, tg_str kind,
                      tg_str name);
/* "EVALSHA sha n_keys". */
void tg_redis_begin(struct tg_redis_args *a, tg_str sha, unsigned n_keys);
/* [owned] by the caller, tg_redis_wire_free(). */
tg_str tg_redis_args_format(struct tg_redis_args *a);
void tg_redis_wire_free(tg_str wire);

/* The commands that a new connection begins with: AUTH, SELECT. False: not needed. */
enum { TG_LOGIN_STEPS = 2 };
bool tg_redis_login(const struct tg_redis_url *u, unsigned step, struct tg_redis_args *a);

/* The command of an operation; TG_SCRIPT_MAX: not one of a script's. */
enum tg_script_name tg_redis_script_of(enum tg_verb verb);
tg_str tg_redis_command(const struct tg_redis_keys *k, const struct tg_store_opts *o, tg_str sha,
                        const struct tg_ask *ask);
struct tg_settle {
    tg_str run;
    tg_str my_epoch;
    tg_str my_run;
    struct tg_pos highest;
    struct tg_epoch spare;
};
tg_str tg_redis_settle_command(const struct tg_redis_keys *k, const struct tg_store_opts *o,
                               tg_str sha, const struct tg_settle *settle);

#endif
