/* redis_url.c - "redis://[[user]:password@]host[:port][/db]" and "unix:/path[?db=n]".
 *
 * getaddrinfo() blocks for seconds when a name server is away, so it gets a thread. A new
 * address is asked for at every connect: after a restart in a container it is another one. */
#include "store/redis_url.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { DEFAULT_PORT = 6379, MAX_DB = 1 << 16 };

/* [owned] with %xx decoded; NULL: malformed, or a NUL. */
static char *decode(tg_str text)
{
    char *out = tg_malloc(text.n + 1);
    bool is_whole = false;
    size_t n = tg_str_unescape(text, false, out, &is_whole);

    out[n] = '\0';
    if (!is_whole || strlen(out) != n) {
        free(out);
        return NULL;
    }
    return out;
}

static bool is_numeric(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static enum tg_rc parse_db(tg_str text, uint64_t *ret_db)
{
    return tg_str_to_u64(text, ret_db) == TG_OK && *ret_db < MAX_DB ? TG_OK : TG_EBADPARAM;
}

static enum tg_rc parse_user(tg_str text, struct tg_redis_url *u)
{
    tg_str user = tg_str_cut(&text, ':');

    if (text.p == NULL) {
        return TG_EBADPARAM; /* a name alone */
    }
    u->password = decode(text);
    u->user = user.n == 0 ? NULL : decode(user);
    return u->password == NULL || (user.n != 0 && u->user == NULL) ? TG_EBADPARAM : TG_OK;
}

static enum tg_rc parse_host(tg_str text, struct tg_redis_url *u)
{
    uint64_t port = DEFAULT_PORT;
    tg_str host = TG_STR_NONE;

    if (text.n > 0 && text.p[0] == '[') {
        text = tg_str_skip(text, 1);
        host = tg_str_cut(&text, ']');
        if (text.p == NULL || (text.n > 0 && text.p[0] != ':')) {
            return TG_EBADPARAM;
        }
        text = text.n > 0 ? tg_str_skip(text, 1) : TG_STR_NONE;
    } else {
        host = tg_str_cut(&text, ':');
    }
    if (host.n == 0 || host.n > 253) {
        return TG_EBADPARAM;
    }
    if (text.p != NULL && (tg_str_to_u64(text, &port) != TG_OK || port == 0 || port > UINT16_MAX)) {
        return TG_EBADPARAM;
    }
    u->host = tg_str_dup(host);
    u->port = (uint16_t)port;
    u->is_numeric = is_numeric(u->host);
    return TG_OK;
}

static size_t find_last(tg_str s, char c)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == c) {
            return i - 1;
        }
    }
    return s.n;
}

static enum tg_rc parse_tcp(tg_str text, struct tg_redis_url *u)
{
    size_t at = find_last(text, '@');
    tg_str host = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (at < text.n) {
        rc = parse_user(tg_str_make(text.p, at), u);
        text = tg_str_skip(text, at + 1);
    }
    host = tg_str_cut(&text, '/');
    if (rc == TG_OK) {
        rc = parse_host(host, u);
    }
    if (rc == TG_OK && text.n > 0) {
        rc = parse_db(text, &u->db);
    }
    return rc;
}

static enum tg_rc parse_unix(tg_str text, struct tg_redis_url *u)
{
    tg_str path = tg_str_cut(&text, '?');

    if (path.n == 0 || path.p[0] != '/') {
        return TG_EBADPARAM;
    }
    u->path = tg_str_dup(path);
    if (text.p == NULL) {
        return TG_OK;
    }
    return tg_str_has_prefix(text, TG_STR("db=")) ? parse_db(tg_str_skip(text, 3), &u->db)
                                                  : TG_EBADPARAM;
}

enum tg_rc tg_redis_url_parse(tg_str text, struct tg_redis_url *ret_url)
{
    struct tg_redis_url u = {0};
    enum tg_rc rc = TG_EBADPARAM;

    if (tg_str_has_prefix(text, TG_STR("redis://"))) {
        rc = parse_tcp(tg_str_skip(text, 8), &u);
    } else if (tg_str_has_prefix(text, TG_STR("unix:"))) {
        rc = parse_unix(tg_str_skip(text, 5), &u);
    } else if (tg_str_has_prefix(text, TG_STR("rediss://"))) {
        rc = TG_EUNSUPPORTED;
    }
    if (rc != TG_OK) {
        tg_redis_url_fini(&u);
        return rc;
    }
    *ret_url = u;
    return TG_OK;
}

void tg_redis_url_fini(struct tg_redis_url *u)
{
    free(u->host);
    free(u->path);
    free(u->user);
    if (u->password != NULL) {
        explicit_bzero(u->password, strlen(u->password));
    }
    free(u->password);
    *u = (struct tg_redis_url){0};
}

/* ---- resolving ---- */

struct question {
    char *host;
    unsigned attempt;
    struct tg_port *port;
    struct tg_resolved *answer;
};

static void drop_resolved(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct tg_resolved, mail));
}

static void *resolve(void *arg)
{
    struct question *q = arg;

    if (!tg_resolve(q->host, q->attempt, q->answer->address)) {
        q->answer->address[0] = '\0';
    }
    (void)tg_port_post(q->port, &q->answer->mail);
    tg_port_unref(q->port);
    free(q->host);
    free(q);
    return NULL;
}

enum tg_rc tg_redis_resolve(const struct tg_redis_url *u, unsigned attempt, struct tg_port *port,
                            void (*run)(struct tg_mail *mail, void *owner))
{
    struct question *q = TG_NEW(struct question);
    pthread_attr_t attr;
    pthread_t thread;
    int failed = 0;

    q->host = tg_strdup(u->host);
    q->attempt = attempt;
    q->port = tg_port_ref(port);
    q->answer = TG_NEW(struct tg_resolved);
    q->answer->mail.drop = drop_resolved;
    q->answer->mail.run = run;
    TG_ASSERT(pthread_attr_init(&attr) == 0);
    TG_ASSERT(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    failed = pthread_create(&thread, &attr, resolve, q);
    TG_ASSERT(pthread_attr_destroy(&attr) == 0);
    if (failed != 0) {
        free(q->answer);
        tg_port_unref(q->port);
        free(q->host);
        free(q);
        return TG_EBUSY;
    }
    return TG_OK;
}
