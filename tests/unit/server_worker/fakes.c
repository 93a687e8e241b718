/* fakes.c - see fakes.h. These stand where the linker would take the connections, the calls
 * upstream, the streams and the handlers. */
#include "fakes.h"

#include <criterion/criterion.h>
#include <string.h>

#include "auth/jwks.h"
#include "handlers/access.h"
#include "handlers/control.h"
#include "handlers/exchange.h"
#include "handlers/jwks_fetch.h"
#include "handlers/router.h"
#include "handlers/session.h"
#include "handlers/tunnel.h"

struct fake_seen seen;
tg_usec fake_now = TG_SEC(1000);

static void note(const char *name)
{
    size_t at = strlen(seen.order);

    cr_assert_lt(at + strlen(name) + 2, sizeof(seen.order));
    memcpy(seen.order + at, name, strlen(name) + 1);
    memcpy(seen.order + at + strlen(name), " ", 2);
}

static enum tg_rc step(const char *name)
{
    note(name);
    return seen.fails != NULL && strcmp(seen.fails, name) == 0 ? TG_ELIMIT : TG_OK;
}

tg_usec tg_clock_mono_us(void)
{
    fake_now += TG_MS(5); /* a drain waits by the clock: each look finds it later */
    return fake_now;
}

tg_usec tg_clock_wall_us(void)
{
    return TG_SEC(1790000000);
}

/* Never looked into. */
static void *thing(void)
{
    return &seen;
}

/* ---- connections ---- */

enum tg_rc tg_http_server_create(struct tg_loop *l, const struct tg_http_opts *opts,
                                 struct tg_http_server **ret_srv)
{
    enum tg_rc rc = step("http_create");

    (void)l;
    cr_assert_not_null(opts->on_request);
    cr_assert_not_null(opts->on_refuse);
    if (rc == TG_OK) {
        seen.http[seen.n_http++ % 2] = opts->counts;
        *ret_srv = thing();
    }
    return rc;
}

enum tg_rc tg_http_server_listen(struct tg_http_server *s, int fd)
{
    (void)s;
    (void)fd;
    return step("listen");
}

void tg_http_server_drain(struct tg_http_server *s)
{
    (void)s;
    note("http_drain");
}

void tg_http_server_destroy(struct tg_http_server *s)
{
    (void)s;
    note("http_destroy");
}

size_t tg_http_server_open(const struct tg_http_server *s)
{
    (void)s;
    if (seen.open_looks_left > 0 && --seen.open_looks_left == 0) {
        seen.n_open = 0;
    }
    return seen.n_open;
}

/* ---- upstream ---- */

enum tg_rc tg_upstream_create(struct tg_loop *l, const struct tg_upstream_opts *opts,
                              struct tg_upstream **ret_up)
{
    enum tg_rc rc = step("upstream_create");

    (void)l;
    (void)opts;
    if (rc == TG_OK) {
        *ret_up = thing();
    }
    return rc;
}

void tg_upstream_destroy(struct tg_upstream *up)
{
    (void)up;
    note("upstream_destroy");
}

/* ---- streams ---- */

struct tg_access *tg_access_create(struct tg_worker *w)
{
    (void)w;
    return NULL;
}

void tg_access_destroy(struct tg_access *a)
{
    (void)a;
}

enum tg_rc tg_fanout_create(struct tg_loop *l, const struct tg_fanout_opts *opts,
                            struct tg_fanout **ret_fanout)
{
    enum tg_rc rc = step("fanout_create");

    (void)l;
    (void)opts;
    if (rc == TG_OK) {
        *ret_fanout = thing();
    }
    return rc;
}

enum tg_rc tg_fanout_start(struct tg_fanout *f)
{
    (void)f;
    return step("fanout_start");
}

void tg_fanout_drain(struct tg_fanout *f, tg_usec spread)
{
    (void)f;
    seen.spread = spread;
    note("fanout_drain");
}

void tg_fanout_stop(struct tg_fanout *f)
{
    (void)f;
    note("fanout_stop");
}

void tg_fanout_destroy(struct tg_fanout *f)
{
    if (f != NULL) {
        note("fanout_destroy");
    }
}

const struct tg_fanout_counts *tg_fanout_counts(const struct tg_fanout *f)
{
    (void)f;
    return &seen.fanout;
}

const struct tg_hub_counts *tg_hub_counts(const struct tg_hub *h)
{
    (void)h;
    return &seen.hub;
}

const struct tg_link_counts *tg_hub_link_counts(const struct tg_hub *h)
{
    (void)h;
    return &seen.link;
}

/* ---- handlers ---- */

void tg_router_on_request(struct tg_conn *c, struct tg_request *req, void *arg)
{
    (void)c;
    (void)req;
    (void)arg;
}

void tg_refuse_conn(struct tg_conn *c, enum tg_rc why, const struct tg_head *head, void *arg)
{
    (void)c;
    (void)why;
    (void)head;
    (void)arg;
}

void tg_tunnel_drain(struct tg_worker *w, tg_usec spread)
{
    (void)w;
    seen.tunnel_spread = spread;
    note("tunnel_drain");
}

void tg_jwks_fetch_setup(struct tg_worker *const *workers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(workers[i]->index, i);
        note("keys_setup");
    }
}

void tg_jwks_fetch_destroy(struct tg_jwks_fetch *j)
{
    (void)j;
}

struct tg_sessions *tg_sessions_create(struct tg_worker *w)
{
    (void)w;
    return thing();
}

void tg_sessions_stop(struct tg_sessions *s)
{
    cr_assert_eq((void *)s, thing());
    note("sessions_stop");
}

void tg_sessions_destroy(struct tg_sessions *s)
{
    (void)s;
}

void tg_control_stop(struct tg_worker *w)
{
    (void)w;
    note("control_stop");
}

struct tg_control_relay *tg_control_relay_create(struct tg_worker *const *workers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(workers[i]->index, i);
        note("relay");
    }
    return thing();
}

void tg_census_stop(struct tg_worker *w)
{
    (void)w;
}

void tg_client_tables_fini(struct tg_client_tables *t)
{
    (void)t;
}

/* ---- a worker ---- */

struct tg_server_worker *worker_make(unsigned index)
{
    static const struct tg_handler_opts handlers = {0};
    struct tg_worker_opts opts = {.index = index, .handlers = &handlers};
    struct tg_server_worker *w = NULL;
    enum tg_rc rc = tg_keys_create(TG_STR("secret"), TG_STR(""), &opts.keys);

    cr_assert_eq(rc, TG_OK);
    rc = tg_server_worker_create(&opts, -1, &w);
    tg_keys_unref(opts.keys);
    cr_assert_eq(rc == TG_OK, seen.fails == NULL);
    return w;
}
