/* report.c - counters as Prometheus lines and as JSON. */
#include "server/report.h"

#include <stdio.h>

#include "realtime/hub.h"
#include "server/metric.h"

/* The hub's handle and each worker's. */
static bool is_store_up(const struct tg_report *r)
{
    bool is_up = tg_count_get(&tg_hub_counts(r->hub)->store_up) != 0;

    for (unsigned i = 0; i < r->n_workers; i++) {
        const struct tg_worker *w = tg_server_worker_inside(r->workers[i]);

        is_up = is_up && tg_count_get(&tg_fanout_counts(w->fanout)->store_up) != 0;
    }
    return is_up;
}

bool tg_report_is_ready(struct tg_buf *reason, void *report)
{
    const struct tg_report *r = report;

    if (tg_count_get(&r->draining) != 0) {
        (void)tg_buf_str(reason, TG_STR("draining"));
        return false;
    }
    if (!is_store_up(r)) {
        (void)tg_buf_str(reason, TG_STR("the store cannot be reached"));
        return false;
    }
    return true;
}

/* ---- one counter of every worker ---- */

struct row {
    const char *name;
    const char *type;
    const char *help;
    const tg_count *(*get)(const struct tg_worker *w);
};

#define GETTER(fn, expr)                                                                           \
    static const tg_count *fn(const struct tg_worker *w)                                           \
    {                                                                                              \
        return &(expr);                                                                            \
    }

GETTER(get_accepted, w->http_counts.accepted)
GETTER(get_open, w->http_counts.open)
GETTER(get_full, w->http_counts.refused_full)
GETTER(get_requests, w->http_counts.requests)
GETTER(get_bad, w->http_counts.bad_requests)
GETTER(get_timeouts, w->http_counts.timeouts)
GETTER(get_in, w->http_counts.bytes_in)
GETTER(get_out, w->http_counts.bytes_out)
GETTER(get_calls, w->upstream_counts.calls)
GETTER(get_open_calls, w->upstream_counts.open_calls)
GETTER(get_failed, w->upstream_counts.failed)
GETTER(get_connects, w->upstream_counts.connects)
GETTER(get_reused, w->upstream_counts.reused)
GETTER(get_retried, w->upstream_counts.retried)
GETTER(get_breaker, w->upstream_counts.breaker_open)
GETTER(get_hits, tg_auth_counts(w->auth)->hits)
GETTER(get_checks, tg_auth_counts(w->auth)->checks)
GETTER(get_unknown, tg_auth_counts(w->auth)->unknown)
GETTER(get_refused, w->counts.refused)
GETTER(get_proxied, w->counts.proxied)
GETTER(get_tunnels, w->counts.tunnels)
GETTER(get_published, w->counts.published)
GETTER(get_duplicates, w->counts.publish_duplicates)
GETTER(get_unpublished, w->counts.publish_failures)
GETTER(get_snapshots, w->counts.snapshots)
GETTER(get_snapshot_rows, w->counts.snapshot_rows)
GETTER(get_snapshot_failures, w->counts.snapshot_failures)
GETTER(get_snapshots_stuck, w->counts.snapshots_stuck)
GETTER(get_stream_caps, w->counts.stream_caps)
GETTER(get_touches, w->counts.device_touches)
GETTER(get_device_caps, w->counts.device_caps)
GETTER(get_jwks, w->counts.jwks_fetches)
GETTER(get_jwks_failures, w->counts.jwks_failures)
GETTER(get_tickets, w->counts.tickets)
GETTER(get_controls, w->counts.controls)
GETTER(get_signouts, w->counts.signouts)
GETTER(get_signout_retries, w->counts.signout_retries)
GETTER(get_denied, w->counts.denied)
GETTER(get_streams, tg_fanout_counts(w->fanout)->streams)
GETTER(get_access_asked, w->counts.access_asked)
GETTER(get_access_known, w->counts.access_known)
GETTER(get_access_shared, w->counts.access_shared)
GETTER(get_access_passed, w->counts.access_passed)
GETTER(get_access_pass_full, w->counts.access_pass_full)
GETTER(get_access_refused, w->counts.access_refused)
GETTER(get_access_unknown, w->counts.access_unknown)
GETTER(get_access_held, w->counts.access_held)
GETTER(get_access_revoked, w->counts.access_revoked)
GETTER(get_subscriptions, tg_fanout_counts(w->fanout)->subscriptions)
GETTER(get_wtopics, tg_fanout_counts(w->fanout)->topics)
GETTER(get_polls, w->counts.polls)
GETTER(get_polls_at_once, w->counts.polls_at_once)
GETTER(get_opened, tg_fanout_counts(w->fanout)->opened)
GETTER(get_ended, tg_fanout_counts(w->fanout)->ended)
GETTER(get_frames, tg_fanout_counts(w->fanout)->frames)
GETTER(get_sent, tg_fanout_counts(w->fanout)->sent)
GETTER(get_pages, tg_fanout_counts(w->fanout)->pages)
GETTER(get_resets, tg_fanout_counts(w->fanout)->resets)
GETTER(get_slow, tg_fanout_counts(w->fanout)->slow_consumers)
GETTER(get_expired, tg_fanout_counts(w->fanout)->expired)
GETTER(get_aged, tg_fanout_counts(w->fanout)->aged)
GETTER(get_replay_checks, tg_fanout_counts(w->fanout)->checks)
GETTER(get_hidden, tg_fanout_counts(w->fanout)->hidden)
GETTER(get_unverified, tg_fanout_counts(w->fanout)->unverified)
GETTER(get_beats, tg_fanout_counts(w->fanout)->heartbeats)
GETTER(get_cuts, tg_fanout_counts(w->fanout)->cuts)

static const struct row rows[] = {
    {"connections_total", "counter", "Client connections accepted.", get_accepted},
    {"connections", "gauge", "Client connections open.", get_open},
    {"connections_refused_total", "counter", "Connections over the limit.", get_full},
    {"requests_total", "counter", "Request heads read.", get_requests},
    {"bad_requests_total", "counter", "Requests that the HTTP layer refused.", get_bad},
    {"timeouts_total", "counter", "Clients that were too slow.", get_timeouts},
    {"client_bytes_in_total", "counter", "Bytes read from clients.", get_in},
    {"client_bytes_out_total", "counter", "Bytes written to clients.", get_out},
    {"refused_total", "counter", "Requests answered with an error of the gateway.", get_refused},
    {"proxied_total", "counter", "Requests passed upstream.", get_proxied},
    {"tunnels_total", "counter", "WebSockets passed upstream.", get_tunnels},
    {"upstream_calls_total", "counter", "HTTP calls upstream.", get_calls},
    {"upstream_calls", "gauge", "HTTP calls under way.", get_open_calls},
    {"upstream_failed_total", "counter", "HTTP calls that failed.", get_failed},
    {"upstream_connects_total", "counter", "Connections made upstream.", get_connects},
    {"upstream_reused_total", "counter", "Calls on a kept connection.", get_reused},
    {"upstream_retried_total", "counter", "Calls tried again.", get_retried},
    {"upstream_breaker_total", "counter", "Calls that an open breaker refused.", get_breaker},
    {"tokens_remembered_total", "counter", "Tokens known from before.", get_hits},
    {"tokens_checked_total", "counter", "Signatures checked.", get_checks},
    {"tokens_unknown_key_total", "counter", "Tokens with an unknown key.", get_unknown},
    {"jwks_fetches_total", "counter", "Fetches of the signing keys.", get_jwks},
    {"jwks_failures_total", "counter", "Fetches that failed.", get_jwks_failures},
    {"tickets_total", "counter", "Tickets given out.", get_tickets},
    {"controls_total", "counter", "Words of the group's gateways taken by a worker.", get_controls},
    {"signouts_total", "counter", "Sign-outs seen by the proxy.", get_signouts},
    {"signout_retries_total", "counter", "Times that the store did not take one.",
     get_signout_retries},
    {"denied", "gauge", "Rules that refuse tokens of who has signed out.", get_denied},
    {"published_total", "counter", "Events taken from publishers.", get_published},
    {"publish_duplicates_total", "counter", "Events taken before, by their key.", get_duplicates},
    {"publish_failures_total", "counter", "Events that the store did not take.", get_unpublished},
    {"snapshots_total", "counter", "Snapshots begun.", get_snapshots},
    {"snapshot_rows_total", "counter", "Rows told by snapshots.", get_snapshot_rows},
    {"snapshot_failures_total", "counter", "Snapshots that failed.", get_snapshot_failures},
    {"snapshots_stuck", "gauge", "Snapshots that read no further until their client does.",
     get_snapshots_stuck},
    {"device_touches_total", "counter", "Times that the store was told of a device.", get_touches},
    {"device_caps_total", "counter", "Devices, or topics of one, refused over a cap.",
     get_device_caps},
    {"stream_caps_total", "counter", "Streams refused over a cap of a user, an address or all.",
     get_stream_caps},
    {"access_asked_total", "counter", "Questions to PostgREST whether a user may read a topic.",
     get_access_asked},
    {"access_known_total", "counter", "Times that the answer was remembered.", get_access_known},
    {"access_shared_total", "counter", "Times that a question under way was enough.",
     get_access_shared},
    {"access_passed_total", "counter", "Questions passed to the worker that asks for all.",
     get_access_passed},
    {"access_pass_full_total", "counter", "Times that its mailbox was full.", get_access_pass_full},
    {"access_refused_total", "counter", "Answers that were no.", get_access_refused},
    {"access_unknown_total", "counter", "Questions without an answer.", get_access_unknown},
    {"access_held_total", "counter", "Streams held until it was known.", get_access_held},
    {"access_revoked_total", "counter", "Topics taken from open streams.", get_access_revoked},
    {"streams", "gauge", "Open streams.", get_streams},
    {"subscriptions", "gauge", "Topics of open streams, added up.", get_subscriptions},
    {"stream_topics", "gauge", "Topics that the worker keeps up.", get_wtopics},
    {"polls_total", "counter", "Answers to polls, but for errors.", get_polls},
    {"polls_at_once_total", "counter", "Of these, answered from memory in the turn of the request.",
     get_polls_at_once},
    {"streams_opened_total", "counter", "Streams that began.", get_opened},
    {"streams_ended_total", "counter", "Streams that ended.", get_ended},
    {"frames_total", "counter", "Events that reached the worker.", get_frames},
    {"deliveries_total", "counter", "Events written to streams.", get_sent},
    {"replay_pages_total", "counter", "Pages read for replay.", get_pages},
    {"resets_total", "counter", "Resets told to streams.", get_resets},
    {"slow_consumers_total", "counter", "Streams ended because they fell behind.", get_slow},
    {"streams_expired_total", "counter", "Streams ended for want of a token.", get_expired},
    {"streams_aged_total", "counter", "Streams ended at their maximum age.", get_aged},
    {"replay_checks_total", "counter", "Pages of strict topics that PostgREST was asked about.",
     get_replay_checks},
    {"replay_hidden_total", "counter", "Events that a replay left out: their row is hidden now.",
     get_hidden},
    {"replay_unverified_total", "counter", "Pages given up: what may be read could not be asked.",
     get_unverified},
    {"heartbeats_total", "counter", "Heartbeats written.", get_beats},
    {"ring_cuts_total", "counter", "Times the rings were dropped.", get_cuts},
};

static void put_workers(struct tg_buf *out, const struct tg_report *r, const struct row *row)
{
    char name[96];

    (void)snprintf(name, sizeof(name), "tidegate_%s", row->name);
    tg_metric_head(out, name, row->type, row->help);
    for (unsigned i = 0; i < r->n_workers; i++) {
        char labels[32];

        (void)snprintf(labels, sizeof(labels), "worker=\"%u\"", i);
        tg_metric_u64(out, name, labels,
                      tg_count_get(row->get(tg_server_worker_inside(r->workers[i]))));
    }
}

/* ---- the hub and the link ---- */

struct single {
    const char *name;
    const char *type;
    const char *help;
    const tg_count *count;
};

static void put_singles(struct tg_buf *out, const struct tg_report *r)
{
    const struct tg_hub_counts *h = tg_hub_counts(r->hub);
    const struct tg_link_counts *l = tg_hub_link_counts(r->hub);
    const struct single singles[] = {
        {"tidegate_feeds", "gauge", "Upstream subscriptions wanted.", &h->feeds},
        {"tidegate_feeds_live", "gauge", "Upstream subscriptions covered.", &h->feeds_live},
        {"tidegate_topics", "gauge", "Topics known to the hub.", &h->topics},
        {"tidegate_changes_total", "counter", "Changes received upstream.", &h->changes},
        {"tidegate_appended_total", "counter", "Events handed to the log.", &h->appended},
        {"tidegate_append_errors_total", "counter", "Events the log refused.", &h->append_errors},
        {"tidegate_gaps_total", "counter", "Gaps written.", &h->gaps},
        {"tidegate_index_rows", "gauge", "Rows of followed tables indexed.", &h->rows_indexed},
        {"tidegate_fills_total", "counter", "Tables read whole.", &h->fills},
        {"tidegate_fill_errors_total", "counter", "Reads that failed.", &h->fill_errors},
        {"tidegate_verifies_total", "counter", "Tables compared.", &h->verifies},
        {"tidegate_verify_differences_total", "counter", "Rows lost without a sign.",
         &h->verify_differences},
        {"tidegate_repaired_inserts_total", "counter", "Inserts repaired.", &h->repaired_inserts},
        {"tidegate_repaired_updates_total", "counter", "Updates repaired.", &h->repaired_updates},
        {"tidegate_repaired_deletes_total", "counter", "Deletes repaired.", &h->repaired_deletes},
        {"tidegate_strict_rows", "gauge", "Rows that strict topics' classes may know of.",
         &h->strict_rows},
        {"tidegate_hidden_deletes_total", "counter",
         "Deletes of rows that a strict topic's class could not know of, told to nobody.",
         &h->hidden_deletes},
        {"tidegate_unknown_deletes_total", "counter", "Deletes of unknown rows.",
         &h->unknown_deletes},
        {"tidegate_rows_read_again_total", "counter", "Rows that came cut short.",
         &h->rows_read_again},
        {"tidegate_rows_partial_total", "counter", "Rows told in part.", &h->rows_partial},
        {"tidegate_access_words_total", "counter", "Changes of access told.", &h->access_words},
        {"tidegate_log_entries_total", "counter", "Entries read from the log.", &h->log_entries},
        {"tidegate_changes_lost_total", "counter", "Changes lost inside.", &h->lost},
        {"tidegate_mail_full_total", "counter", "Mails that found a full box.", &h->mail_full},
        {"tidegate_store_up", "gauge", "Whether the store answers.", &h->store_up},
        {"tidegate_upstream_online", "gauge", "Whether a Realtime socket is open.", &l->online},
        {"tidegate_upstream_sockets", "gauge", "Realtime sockets.", &l->sockets},
        {"tidegate_upstream_channels", "gauge", "Realtime channels.", &l->channels},
        {"tidegate_upstream_joins_total", "counter", "Channel joins.", &l->joins},
        {"tidegate_upstream_join_errors_total", "counter", "Refused joins.", &l->join_errors},
        {"tidegate_upstream_refused_total", "counter", "Channels given up.", &l->refused},
        {"tidegate_upstream_rate_near_total", "counter",
         "Times that changes came near the project's rate.", &l->rates_near},
        {"tidegate_upstream_reconnects_total", "counter", "Lost sockets.", &l->reconnects},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(singles); i++) {
        tg_metric_head(out, singles[i].name, singles[i].type, singles[i].help);
        tg_metric_u64(out, singles[i].name, NULL, tg_count_get(singles[i].count));
    }
}

static void put_upstream_errors(struct tg_buf *out, const struct tg_report *r)
{
    const struct tg_link_counts *l = tg_hub_link_counts(r->hub);
    const char *name = "tidegate_upstream_errors_total";

    tg_metric_head(out, name, "counter", "What Realtime said against us, by what helps.");
    for (unsigned i = 0; i < TG_UPSTREAM_CLASSES; i++) {
        char label[32];

        (void)snprintf(label, sizeof(label), "class=\"%s\"",
                       tg_upstream_class_name((enum tg_upstream_class)i));
        tg_metric_u64(out, name, label, tg_count_get(&l->errors[i]));
    }
}

void tg_report_metrics(struct tg_buf *out, void *report)
{
    const struct tg_report *r = report;

    for (size_t i = 0; i < TG_ARRAY_LEN(rows); i++) {
        put_workers(out, r, &rows[i]);
    }
    put_singles(out, r);
    put_upstream_errors(out, r);
}

static uint64_t sum(const struct tg_report *r, const tg_count *(*get)(const struct tg_worker *w))
{
    uint64_t total = 0;

    for (unsigned i = 0; i < r->n_workers; i++) {
        total += tg_count_get(get(tg_server_worker_inside(r->workers[i])));
    }
    return total;
}

static void put_number(struct tg_buf *out, const char *name, uint64_t v, bool is_first)
{
    (void)tg_buf_printf(out, "%s\"%s\":%llu", is_first ? "" : ",", name, (unsigned long long)v);
}

/* How many of these for each of those; 0 without those. */
static void put_ratio(struct tg_buf *out, const char *name, uint64_t n, uint64_t of)
{
    (void)tg_buf_printf(out, ",\"%s\":%.2f", name, of == 0 ? 0.0 : (double)n / (double)of);
}

/* What the gateway saves: many clients for each upstream subscription, many deliveries for each
 * change received. */
static void put_saving(struct tg_buf *out, const struct tg_report *r)
{
    const uint64_t channels = tg_count_get(&tg_hub_link_counts(r->hub)->channels);
    const uint64_t changes = tg_count_get(&tg_hub_counts(r->hub)->changes);

    put_number(out, "client_subscriptions", sum(r, get_subscriptions), true);
    put_ratio(out, "client_subscriptions_per_channel", sum(r, get_subscriptions), channels);
    put_number(out, "changes_received", changes, false);
    put_number(out, "deliveries", sum(r, get_sent), false);
    put_ratio(out, "deliveries_per_change", sum(r, get_sent), changes);
}

void tg_report_status(struct tg_buf *out, void *report)
{
    const struct tg_report *r = report;
    const struct tg_hub_counts *h = tg_hub_counts(r->hub);
    const struct tg_link_counts *l = tg_hub_link_counts(r->hub);

    (void)tg_buf_str(out, TG_STR("{\"clients\":{"));
    put_number(out, "workers", r->n_workers, true);
    put_number(out, "connections", sum(r, get_open), false);
    put_number(out, "requests", sum(r, get_requests), false);
    put_number(out, "streams", sum(r, get_streams), false);
    put_number(out, "deliveries", sum(r, get_sent), false);
    (void)tg_buf_str(out, TG_STR("},\"realtime\":{"));
    put_number(out, "online", tg_count_get(&l->online), true);
    put_number(out, "sockets", tg_count_get(&l->sockets), false);
    put_number(out, "channels", tg_count_get(&l->channels), false);
    put_number(out, "joins", tg_count_get(&l->joins), false);
    put_number(out, "join_errors", tg_count_get(&l->join_errors), false);
    put_number(out, "reconnects", tg_count_get(&l->reconnects), false);
    put_number(out, "feeds", tg_count_get(&h->feeds), false);
    put_number(out, "feeds_live", tg_count_get(&h->feeds_live), false);
    put_number(out, "changes", tg_count_get(&h->changes), false);
    put_number(out, "gaps", tg_count_get(&h->gaps), false);
    (void)tg_buf_str(out, TG_STR("},\"saving\":{"));
    put_saving(out, r);
    (void)tg_buf_str(out, TG_STR("},\"store\":{"));
    put_number(out, "up", tg_count_get(&h->store_up), true);
    (void)tg_buf_printf(out, ",\"backend\":\"%s\"}}", r->store_is_memory ? "memory" : "redis");
}
