/* The operator's port, asked over a loopback socket: libmicrohttpd has no other door. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/admin.h"
#include "server/metric.h"
#include "util/count.h"
#include "util/json.h"

enum { MAX_ANSWER = 8 * 1024 * 1024 };

struct world {
    tg_count draining;
    tg_count requests;
};

static bool world_is_ready(struct tg_buf *reason, void *arg)
{
    const struct world *w = arg;

    if (tg_count_get(&w->draining) != 0) {
        tg_buf_str(reason, TG_STR("draining \"now\""));
        return false;
    }
    return true;
}

static void world_metrics(struct tg_buf *out, void *arg)
{
    const struct world *w = arg;

    tg_metric_head(out, "tidegate_requests_total", "counter", "Requests.");
    tg_metric_u64(out, "tidegate_requests_total", "worker=\"0\"", tg_count_get(&w->requests));
}

static void world_status(struct tg_buf *out, void *arg)
{
    const struct world *w = arg;

    tg_buf_printf(out, "{\"requests\":%llu}", (unsigned long long)tg_count_get(&w->requests));
}

static void broken_status(struct tg_buf *out, void *arg)
{
    (void)arg;
    tg_buf_str(out, TG_STR("{\"half\":"));
}

static void endless_metrics(struct tg_buf *out, void *arg)
{
    (void)arg;
    while (tg_buf_rc(out) == TG_OK) {
        tg_metric_u64(out, "tidegate_more", NULL, 1);
    }
}

static struct tg_admin *start(struct world *w, const struct tg_admin_provider *providers, size_t n)
{
    const struct tg_admin_opts opts = {
        .address = "127.0.0.1",
        .version = "1.2.3",
        .is_ready = world_is_ready,
        .is_ready_arg = w,
        .providers = providers,
        .n_providers = n,
    };
    struct tg_admin *admin = NULL;

    cr_assert_eq(tg_admin_start(&opts, &admin), TG_OK);
    cr_assert_neq(tg_admin_port(admin), 0);
    return admin;
}

/* The whole answer to `head`, to which the end is added, on a connection of its own. */
static const char *ask(const struct tg_admin *admin, struct tg_buf *answer, const char *head)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(tg_admin_port(admin))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[512];
    int n = snprintf(request, sizeof(request),
                     "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", head);

    tg_buf_clear(answer);
    cr_assert(n > 0 && n < (int)sizeof(request));
    cr_assert_eq(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
    for (;;) {
        ssize_t got = 0;

        cr_assert_eq(tg_buf_reserve(answer, 65536), TG_OK);
        got = recv(fd, answer->p + answer->n, 65536, 0);
        cr_assert_geq(got, 0);
        if (got == 0) {
            break;
        }
        answer->n += (size_t)got;
    }
    (void)close(fd);
    return tg_buf_cstr(answer);
}

static bool has(const char *answer, const char *text)
{
    return strstr(answer, text) != NULL;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    cr_assert_not_null(end);
    return end + 4;
}

Test(admin, health_says_ok_and_readiness_asks_its_callback)
{
    struct world w = {0};
    struct tg_admin *admin = start(&w, NULL, 0);
    struct tg_buf answer;
    const char *text = NULL;

    tg_buf_init(&answer, MAX_ANSWER);
    text = ask(admin, &answer, "GET /healthz");
    cr_expect(has(text, "HTTP/1.1 200 "));
    cr_expect(has(text, "Cache-Control: no-store\r\n"));
    cr_expect_str_eq(body_of(text), "ok\n");
    text = ask(admin, &answer, "GET /readyz");
    cr_expect(has(text, "HTTP/1.1 200 "));
    cr_expect_str_eq(body_of(text), "ready\n");
    tg_count_set(&w.draining, 1);
    text = ask(admin, &answer, "GET /readyz");
    cr_expect(has(text, "HTTP/1.1 503 "));
    cr_expect_str_eq(body_of(text), "not ready: draining \"now\"\n");
    text = ask(admin, &answer, "GET /healthz");
    cr_expect(has(text, "HTTP/1.1 200 "));
    tg_buf_fini(&answer);
    tg_admin_destroy(admin);
}

Test(admin, metrics_are_the_providers_lines_behind_its_own)
{
    struct world w = {0};
    const struct tg_admin_provider providers[] = {
        {"silent", NULL, NULL, NULL},
        {"world", world_metrics, world_status, &w},
    };
    struct tg_admin *admin = start(&w, providers, TG_ARRAY_LEN(providers));
    struct tg_buf answer;
    const char *text = NULL;

    tg_buf_init(&answer, MAX_ANSWER);
    tg_count_add(&w.requests, 41);
    text = ask(admin, &answer, "GET /metrics");
    cr_expect(has(text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    cr_expect(has(text, "\ntidegate_build_info{version=\"1.2.3\"} 1\n"));
    cr_expect(has(text, "\ntidegate_ready 1\n"));
    cr_expect(has(text, "# HELP tidegate_requests_total Requests.\n"
                        "# TYPE tidegate_requests_total counter\n"
                        "tidegate_requests_total{worker=\"0\"} 41\n"));
    tg_count_add(&w.requests, 1);
    cr_expect(has(ask(admin, &answer, "GET /metrics?x=1"), "{worker=\"0\"} 42\n"));
    tg_buf_fini(&answer);
    tg_admin_destroy(admin);
}

Test(admin, status_is_json_and_a_broken_provider_costs_only_its_member)
{
    struct world w = {0};
    const struct tg_admin_provider providers[] = {
        {"broken", NULL, broken_status, NULL},
        {"world", NULL, world_status, &w},
    };
    struct tg_admin *admin = start(&w, providers, TG_ARRAY_LEN(providers));
    struct tg_buf answer;
    const char *body = NULL;

    tg_buf_init(&answer, MAX_ANSWER);
    tg_count_set(&w.draining, 1);
    body = body_of(ask(admin, &answer, "GET /status"));
    cr_expect(tg_json_is_valid(tg_str_of(body)), "%s", body);
    cr_expect(has(body, "{\"version\":\"1.2.3\",\"uptime_seconds\":"));
    cr_expect(has(body, ",\"ready\":false,\"reason\":\"draining \\\"now\\\"\","));
    cr_expect(has(body, "\"broken\":null,\"world\":{\"requests\":0}}"));
    tg_count_set(&w.draining, 0);
    cr_expect(has(ask(admin, &answer, "GET /status"), "\"ready\":true,\"reason\":null,"));
    tg_buf_fini(&answer);
    tg_admin_destroy(admin);
}

Test(admin, a_page_over_its_maximum_is_an_error_and_not_half_a_page)
{
    struct world w = {0};
    const struct tg_admin_provider providers[] = {{"endless", endless_metrics, NULL, NULL}};
    struct tg_admin *admin = start(&w, providers, 1);
    struct tg_buf answer;
    const char *text = NULL;

    tg_buf_init(&answer, MAX_ANSWER);
    text = ask(admin, &answer, "GET /metrics");
    cr_expect(has(text, "HTTP/1.1 500 "));
    cr_expect(has(text, "\"code\":\"TG600\""));
    cr_expect_not(has(text, "tidegate_more"));
    tg_buf_fini(&answer);
    tg_admin_destroy(admin);
}

Test(admin, other_paths_are_404_and_other_methods_405)
{
    struct world w = {0};
    struct tg_admin *admin = start(&w, NULL, 0);
    struct tg_buf answer;
    const char *text = NULL;

    tg_buf_init(&answer, MAX_ANSWER);
    text = ask(admin, &answer, "GET /metrics/");
    cr_expect(has(text, "HTTP/1.1 404 "));
    cr_expect(has(text, "Content-Type: application/json; charset=utf-8\r\n"));
    cr_expect(has(text, "{\"code\":\"TG440\",\"message\":"));
    cr_expect(has(ask(admin, &answer, "GET /"), "HTTP/1.1 404 "));
    text = ask(admin, &answer, "POST /metrics");
    cr_expect(has(text, "HTTP/1.1 405 "));
    cr_expect(has(text, "Allow: GET, HEAD\r\n"));
    cr_expect(has(ask(admin, &answer, "DELETE /status"), "HTTP/1.1 405 "));
    text = ask(admin, &answer, "HEAD /healthz");
    cr_expect(has(text, "HTTP/1.1 200 "));
    cr_expect(has(text, "Content-Length: 3\r\n"));
    cr_expect_str_eq(body_of(text), "");
    tg_buf_fini(&answer);
    tg_admin_destroy(admin);
}

Test(admin, a_port_in_use_or_a_name_for_an_address_is_refused)
{
    struct world w = {0};
    struct tg_admin *admin = start(&w, NULL, 0);
    struct tg_admin_opts opts = {.address = "127.0.0.1", .version = "1"};
    struct tg_admin *second = NULL;

    opts.port = tg_admin_port(admin);
    cr_expect_eq(tg_admin_start(&opts, &second), TG_EIO);
    cr_expect_eq(errno, EADDRINUSE);
    opts.address = "localhost";
    cr_expect_eq(tg_admin_start(&opts, &second), TG_EBADPARAM);
    cr_expect_null(second);
    tg_admin_destroy(admin);
    tg_admin_destroy(NULL);
}
