/* admin.c - four read-only pages on libmicrohttpd's own thread.
 *
 * A page is written whole into a capped buffer before anything is sent, so that a peer never
 * sees half of one, and a slow peer holds nothing but that buffer. */
#include "server/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/metric.h"
#include "util/clock.h"
#include "util/json.h"

enum {
    ADMIN_MAGIC = 0x41444d4e,
    MAX_CONNECTIONS = 32,
    MAX_PAGE = 4 * 1024 * 1024,
    MAX_REASON = 1024,
    MEMORY_PER_CONNECTION = 16 * 1024,
    TIMEOUT_SECONDS = 10,
};

struct tg_admin {
    unsigned magic;
    struct tg_admin_opts opts;
    struct MHD_Daemon *daemon;
    tg_usec started_us;       /* monotonic */
    uint64_t started_at_secs; /* since 1970 */
    uint16_t port;
};

struct page {
    unsigned status;
    const char *type;
    struct tg_buf body;
};

static const char type_text[] = "text/plain; charset=utf-8";
static const char type_json[] = "application/json; charset=utf-8";
static const char type_metrics[] = "text/plain; version=0.0.4; charset=utf-8";

static bool is_ready(const struct tg_admin *admin, struct tg_buf *reason)
{
    return admin->opts.is_ready == NULL || admin->opts.is_ready(reason, admin->opts.is_ready_arg);
}

static void page_error(struct page *page, enum tg_rc rc)
{
    page->status = tg_rc_status(rc);
    page->type = type_json;
    tg_buf_clear(&page->body);
    tg_buf_printf(&page->body, "{\"code\":\"%s\",\"message\":", tg_rc_code(rc));
    tg_json_quote(&page->body, tg_str_of(tg_rc_text(rc)));
    tg_buf_str(&page->body, TG_STR(",\"details\":null,\"hint\":null}\n"));
}

static void page_health(const struct tg_admin *admin, struct page *page)
{
    (void)admin;
    tg_buf_str(&page->body, TG_STR("ok\n"));
}

static void page_ready(const struct tg_admin *admin, struct page *page)
{
    struct tg_buf reason;

    tg_buf_init(&reason, MAX_REASON);
    if (is_ready(admin, &reason)) {
        tg_buf_str(&page->body, TG_STR("ready\n"));
    } else {
        page->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        tg_buf_printf(&page->body, "not ready: %.*s\n", TG_STR_ARG(tg_buf_view(&reason)));
    }
    tg_buf_fini(&reason);
}

static void page_metrics(const struct tg_admin *admin, struct page *page)
{
    struct tg_buf *out = &page->body;
    struct tg_buf reason;

    tg_buf_init(&reason, MAX_REASON);
    page->type = type_metrics;
    tg_metric_head(out, "tidegate_build_info", "gauge", "The version that runs.");
    tg_buf_printf(out, "tidegate_build_info{version=\"%s\"} 1\n", admin->opts.version);
    tg_metric_head(out, "tidegate_start_time_seconds", "gauge", "Start, in seconds since 1970.");
    tg_metric_u64(out, "tidegate_start_time_seconds", NULL, admin->started_at_secs);
    tg_metric_head(out, "tidegate_ready", "gauge", "Whether /readyz says ready.");
    tg_metric_u64(out, "tidegate_ready", NULL, is_ready(admin, &reason) ? 1 : 0);
    tg_buf_fini(&reason);
    for (size_t i = 0; i < admin->opts.n_providers; i++) {
        const struct tg_admin_provider *p = &admin->opts.providers[i];

        if (p->metrics != NULL) {
            p->metrics(out, p->arg);
        }
    }
}

/* A provider's mistake costs its own member, not the page. */
static void append_status(const struct tg_admin_provider *p, struct tg_buf *out)
{
    struct tg_buf value;

    tg_buf_init(&value, MAX_PAGE);
    p->status(&value, p->arg);
    tg_buf_char(out, ',');
    tg_json_quote(out, tg_str_of(p->name));
    tg_buf_char(out, ':');
    if (tg_buf_rc(&value) == TG_OK && tg_json_is_valid(tg_buf_view(&value))) {
        tg_buf_str(out, tg_buf_view(&value));
    } else {
        tg_buf_str(out, TG_STR("null"));
    }
    tg_buf_fini(&value);
}

static void page_status(const struct tg_admin *admin, struct page *page)
{
    struct tg_buf *out = &page->body;
    struct tg_buf reason;
    bool ready = false;

    tg_buf_init(&reason, MAX_REASON);
    ready = is_ready(admin, &reason);
    page->type = type_json;
    tg_buf_str(out, TG_STR("{\"version\":"));
    tg_json_quote(out, tg_str_of(admin->opts.version));
    tg_buf_printf(out, ",\"uptime_seconds\":%llu,\"ready\":%s,\"reason\":",
                  (unsigned long long)((tg_clock_mono_us() - admin->started_us) / TG_SEC(1)),
                  ready ? "true" : "false");
    if (ready) {
        tg_buf_str(out, TG_STR("null"));
    } else {
        tg_json_quote(out, tg_buf_view(&reason));
    }
    tg_buf_fini(&reason);
    for (size_t i = 0; i < admin->opts.n_providers; i++) {
        if (admin->opts.providers[i].status != NULL) {
            append_status(&admin->opts.providers[i], out);
        }
    }
    tg_buf_str(out, TG_STR("}\n"));
}

struct route {
    const char *path;
    void (*write)(const struct tg_admin *admin, struct page *page);
};

static const struct route routes[] = {
    {"/healthz", page_health},
    {"/readyz", page_ready},
    {"/metrics", page_metrics},
    {"/status", page_status},
};

static const struct route *route_of(const char *path)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(routes); i++) {
        if (strcmp(path, routes[i].path) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

/* Takes the page's body. */
static enum MHD_Result send_page(struct MHD_Connection *connection, struct page *page)
{
    size_t n = page->body.n;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n, tg_buf_take(&page->body), MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result = MHD_NO;

    if (response == NULL) {
        return MHD_NO;
    }
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
        (page->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
         MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES)) {
        result = MHD_queue_response(connection, page->status, response);
    }
    MHD_destroy_response(response);
    return result;
}

/* The parameters are libmicrohttpd's. The upload is never read: only GET and HEAD are served,
 * and for the rest an early answer makes it close the connection. */
/* NOLINTBEGIN(readability-function-size,readability-non-const-parameter) */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **state)
/* NOLINTEND(readability-function-size,readability-non-const-parameter) */
{
    const struct tg_admin *admin = arg;
    const struct route *route = route_of(path);
    struct page page = {.status = MHD_HTTP_OK, .type = type_text};

    (void)version;
    (void)upload;
    (void)upload_n;
    (void)state;
    TG_CHECK(admin, ADMIN_MAGIC);
    tg_buf_init(&page.body, MAX_PAGE);
    if (route == NULL) {
        page_error(&page, TG_ENOTFOUND);
    } else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
               strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        page_error(&page, TG_EMETHOD);
    } else {
        route->write(admin, &page);
    }
    if (tg_buf_rc(&page.body) != TG_OK) {
        page_error(&page, TG_EINTERNAL);
    }
    return send_page(connection, &page);
}

struct address {
    struct sockaddr_storage storage;
    unsigned flags; /* libmicrohttpd's, for the family */
};

static bool to_address(const char *text, uint16_t port, struct address *ret_address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct address address = {.flags = 0};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&address.storage, &v4, sizeof(v4));
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(&address.storage, &v6, sizeof(v6));
        address.flags = MHD_USE_IPv6;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

enum tg_rc tg_admin_start(const struct tg_admin_opts *opts, struct tg_admin **ret_admin)
{
    struct address address;
    struct tg_admin *admin = NULL;
    const union MHD_DaemonInfo *info = NULL;

    if (!to_address(opts->address, opts->port, &address)) {
        return TG_EBADPARAM;
    }
    admin = TG_NEW(struct tg_admin);
    admin->magic = ADMIN_MAGIC;
    admin->opts = *opts;
    admin->started_us = tg_clock_mono_us();
    admin->started_at_secs = tg_clock_wall_us() / TG_SEC(1);
    errno = 0;
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | address.flags, opts->port, NULL, NULL,
        on_request, admin, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address.storage,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_END);
    info = admin->daemon == NULL ? NULL
                                 : MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (info == NULL) {
        int reason = errno;

        tg_admin_destroy(admin);
        errno = reason;
        return TG_EIO;
    }
    admin->port = info->port;
    *ret_admin = admin;
    return TG_OK;
}

uint16_t tg_admin_port(const struct tg_admin *admin)
{
    TG_CHECK(admin, ADMIN_MAGIC);
    return admin->port;
}

void tg_admin_destroy(struct tg_admin *admin)
{
    if (admin == NULL) {
        return;
    }
    TG_CHECK(admin, ADMIN_MAGIC);
    if (admin->daemon != NULL) {
        MHD_stop_daemon(admin->daemon);
    }
    admin->magic = 0;
    free(admin);
}
