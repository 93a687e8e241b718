/* multi.h - one curl multi handle on a loop. For client.c and tunnel.c only.
 *
 * A socket stays watched for reading while its connection lies idle in libcurl's pool: a
 * request on a pooled connection then costs no epoll_ctl. libcurl is entered from the loop
 * only, never from inside one of its callbacks: what those want done is done by tg_multi_kick(). */
#ifndef TG_UPSTREAM_MULTI_H
#define TG_UPSTREAM_MULTI_H

#include <curl/curl.h>

#include "loop/loop.h"

struct tg_multi_sock;

struct tg_multi {
    struct tg_loop *loop;
    CURLM *curl;
    CURLSH *share;                /* TLS sessions, so that a new connection resumes an old one's */
    struct tg_multi_sock **socks; /* by descriptor */
    size_t n_socks;
    struct tg_timer timer;
    bool is_kicked;   /* a flush is deferred */
    bool is_flushing; /* it runs */
    bool is_again;    /* kicked while it runs */
    bool is_due;      /* libcurl asked for an immediate call */
    bool is_closing;
    void (*on_flush)(
        void *arg); /* before libcurl is entered; may add and remove handles; or NULL */
    void (*on_done)(CURL *easy, CURLcode result, void *arg); /* still added */
    void *arg;
};

enum tg_rc tg_multi_init(struct tg_multi *m, struct tg_loop *l) TG_MUST_USE;
/* All easy handles are removed. Nothing is called any more afterwards; the memory of `m` must
 * live until the end of the turn. */
void tg_multi_fini(struct tg_multi *m);

/* on_flush, then libcurl, at the end of the turn. */
void tg_multi_kick(struct tg_multi *m);

/* The options that all our handles share: nothing of libcurl's own, no surprises. */
void tg_multi_setup(struct tg_multi *m, CURL *easy);

/* The descriptor is watched by somebody else from here on. */
void tg_multi_forget(struct tg_multi *m, int fd);

enum tg_rc tg_rc_from_curl(CURLcode code, bool connected);

#endif
