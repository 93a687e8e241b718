/* test_report.c - readiness, metrics and status from counters. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fakes.h"
#include "server/report.h"

enum { MAX_TEXT = 256 * 1024 };

struct given {
    struct tg_server_worker *workers[2];
    struct tg_report report;
    struct tg_buf out;
};

static void begin(struct given *g)
{
    *g = (struct given){.workers = {worker_make(0), worker_make(1)}, .out = {.max = MAX_TEXT}};
    g->report = (struct tg_report){.workers = g->workers, .n_workers = 2};
    tg_count_set(&seen.hub.store_up, 1);
    tg_count_set(&seen.fanout.store_up, 1);
}

static void finish(struct given *g)
{
    tg_buf_fini(&g->out);
    tg_server_worker_destroy(g->workers[0]);
    tg_server_worker_destroy(g->workers[1]);
}

/* As a C text. */
static const char *text(struct given *g)
{
    cr_assert_eq(tg_buf_char(&g->out, '\0'), TG_OK);
    return g->out.p;
}

static void has_line(const char *metrics, const char *line)
{
    const char *at = strstr(metrics, line);

    cr_assert(at != NULL && (at == metrics || at[-1] == '\n') && at[strlen(line)] == '\n',
              "no line %s", line);
}

Test(report, ready_while_the_store_answers)
{
    struct given g;

    begin(&g);
    cr_assert(tg_report_is_ready(&g.out, &g.report));
    cr_assert_eq(g.out.n, 0);
    finish(&g);
}

Test(report, not_ready_without_the_store_and_says_so)
{
    struct given g;

    begin(&g);
    tg_count_set(&seen.hub.store_up, 0);
    cr_assert_not(tg_report_is_ready(&g.out, &g.report));
    cr_assert_str_eq(text(&g), "the store cannot be reached");
    finish(&g);
}

Test(report, not_ready_while_a_worker_is_without_the_store)
{
    struct given g;

    begin(&g);
    tg_count_set(&seen.fanout.store_up, 0);
    cr_assert_not(tg_report_is_ready(&g.out, &g.report));
    cr_assert_str_eq(text(&g), "the store cannot be reached");
    finish(&g);
}

Test(report, draining_is_not_ready_whatever_else_holds)
{
    struct given g;

    begin(&g);
    tg_count_set(&g.report.draining, 1);
    tg_count_set(&seen.hub.store_up, 0);
    cr_assert_not(tg_report_is_ready(&g.out, &g.report));
    cr_assert_str_eq(text(&g), "draining");
    finish(&g);
}

Test(report, upstream_offline_is_still_ready)
{
    struct given g;

    begin(&g);
    tg_count_set(&seen.link.online, 0);
    cr_assert(tg_report_is_ready(&g.out, &g.report));
    finish(&g);
}

Test(report, metrics_have_a_sample_for_each_worker)
{
    struct given g;
    const char *metrics = NULL;

    begin(&g);
    tg_count_set(&seen.http[0]->accepted, 7);
    tg_count_set(&seen.http[1]->accepted, 8);
    tg_count_set(&seen.fanout.sent, 18446744073709551615U);
    tg_report_metrics(&g.out, &g.report);
    metrics = text(&g);
    has_line(metrics, "# TYPE tidegate_connections_total counter");
    has_line(metrics, "tidegate_connections_total{worker=\"0\"} 7");
    has_line(metrics, "tidegate_connections_total{worker=\"1\"} 8");
    has_line(metrics, "tidegate_deliveries_total{worker=\"1\"} 18446744073709551615");
    has_line(metrics, "# TYPE tidegate_streams gauge");
    finish(&g);
}

Test(report, metrics_of_the_process_have_no_label)
{
    struct given g;
    const char *metrics = NULL;

    begin(&g);
    tg_count_set(&seen.hub.gaps, 3);
    tg_count_set(&seen.link.online, 1);
    tg_report_metrics(&g.out, &g.report);
    metrics = text(&g);
    has_line(metrics, "tidegate_gaps_total 3");
    has_line(metrics, "tidegate_upstream_online 1");
    has_line(metrics, "tidegate_store_up 1");
    finish(&g);
}

Test(report, each_metric_is_described_once_before_its_samples)
{
    struct given g;
    const char *metrics = NULL;
    unsigned n = 0;

    begin(&g);
    tg_report_metrics(&g.out, &g.report);
    metrics = text(&g);
    for (const char *at = metrics; (at = strstr(at, "# TYPE ")) != NULL; at++) {
        char head[128];
        char type[16];
        const char *name = at + strlen("# TYPE ");
        size_t len = strcspn(name, " ");
        bool is_total = len > 6 && strncmp(name + len - 6, "_total", 6) == 0;

        (void)snprintf(head, sizeof(head), "# TYPE %.*s ", (int)len, name);
        cr_assert_null(strstr(at + 1, head), "%s twice", head);
        (void)snprintf(type, sizeof(type), "%.7s", name + len + 1);
        cr_assert_eq(strncmp(type, "counter", 7) == 0, is_total, "%s", head);
        (void)snprintf(head, sizeof(head), "# HELP %.*s ", (int)len, name);
        cr_assert_not_null(strstr(metrics, head), "%s", head);
        n++;
    }
    cr_assert_gt(n, 40);
    cr_assert_eq(metrics[strlen(metrics) - 1], '\n');
    finish(&g);
}

static json_int_t number(const json_t *root, const char *part, const char *name)
{
    const json_t *v = json_object_get(json_object_get(root, part), name);

    cr_assert(json_is_integer(v), "%s.%s", part, name);
    return json_integer_value(v);
}

Test(report, status_is_json_with_sums_over_the_workers)
{
    struct given g;
    json_t *root = NULL;

    begin(&g);
    tg_count_set(&seen.http[0]->open, 3);
    tg_count_set(&seen.http[1]->open, 7);
    tg_count_set(&seen.fanout.streams, 4);
    tg_count_set(&seen.hub.feeds_live, 2);
    tg_count_set(&seen.link.sockets, 1);
    tg_count_set(&seen.link.channels, 2);
    tg_count_set(&seen.link.joins, 5);
    tg_count_set(&seen.fanout.subscriptions, 50);
    tg_count_set(&seen.fanout.sent, 30);
    tg_count_set(&seen.hub.changes, 8);
    tg_report_status(&g.out, &g.report);
    root = json_loadb(g.out.p, g.out.n, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", text(&g));
    cr_assert_eq(number(root, "clients", "workers"), 2);
    cr_assert_eq(number(root, "clients", "connections"), 10);
    cr_assert_eq(number(root, "clients", "streams"), 8);
    cr_assert_eq(number(root, "realtime", "feeds_live"), 2);
    cr_assert_eq(number(root, "realtime", "sockets"), 1);
    cr_assert_eq(number(root, "realtime", "joins"), 5);
    cr_assert_eq(number(root, "saving", "client_subscriptions"), 100);
    cr_assert_not_null(strstr(text(&g), "\"client_subscriptions_per_channel\":50.00"));
    cr_assert_not_null(strstr(text(&g), "\"deliveries_per_change\":7.50"));
    cr_assert_eq(number(root, "store", "up"), 1);
    json_decref(root);
    finish(&g);
}

Test(report, status_names_the_backend)
{
    struct given g;

    begin(&g);
    tg_report_status(&g.out, &g.report);
    cr_assert_not_null(strstr(text(&g), "\"backend\":\"redis\""));
    tg_buf_clear(&g.out);
    g.report.store_is_memory = true;
    tg_report_status(&g.out, &g.report);
    cr_assert_not_null(strstr(text(&g), "\"backend\":\"memory\""));
    finish(&g);
}
