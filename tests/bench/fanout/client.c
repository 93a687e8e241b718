/* client.c - the sockets of the streams: request, greeting, counting; and the publisher's. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "source.h"
#include "util/buf.h"

enum { TOKEN_DEVICES = 1000, MAX_REQUEST = 4096 };

/* ---- the event ---- */

/* A row that makes the gateway's JSON DATA_BYTES long; the others publish that very text. */
static void make_event(struct bench *b)
{
    char text[1024];
    char pad[DATA_BYTES] = {MARK};
    int n = 0;

    for (size_t len = 1; n != DATA_BYTES && len < sizeof(pad) - 1; len++) {
        (void)snprintf(b->record, sizeof(b->record), "{\"id\":1,\"pad\":\"%s\"}", pad);
        n = snprintf(text, sizeof(text),
                     "{\"topic\":\"table:public.bench\"," SOURCE_EVENT_FORMAT "}", b->record);
        pad[len] = 'x';
    }
    memcpy(b->data, text, DATA_BYTES);
}

/* ---- the publisher ---- */

static void post(struct bench *b, const char *target, const char *field, tg_str body)
{
    char head[MAX_REQUEST];
    int len = snprintf(head, sizeof(head),
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n",
                       target, field, body.n);

    send_all(b->publisher.fd, head, (size_t)len);
    send_all(b->publisher.fd, body.p, body.n);
}

/* To the gateway itself, with its service key. */
static void publish_own(struct bench *b, unsigned n)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {.max = (size_t)n * (DATA_BYTES + 256) + 64};
    char field[1024];

    (void)tg_buf_str(&body, TG_STR("{\"events\":["));
    for (unsigned i = 0; i < n; i++) {
        (void)tg_buf_printf(&body, "%s{\"topic\":\"%s\",\"record\":%s}", i == 0 ? "" : ",",
                            b->opts.topic, b->record);
    }
    (void)tg_buf_str(&body, TG_STR("]}"));
    if (tg_buf_rc(&body) != TG_OK) {
        fail("an event does not fit");
    }
    (void)snprintf(field, sizeof(field), "apikey: %s\r\nContent-Type: application/json\r\n",
                   b->opts.service_key);
    post(b, "/sync/v1/publish", field, tg_buf_view(&body));
}

void client_publish(struct bench *b, unsigned n)
{
    char bytes[BURST] = {0};

    if (b->opts.service_key != NULL) {
        publish_own(b, n);
    } else if (b->source != NULL) {
        source_publish(b->source, b->record, n);
    } else if (strcmp(b->opts.mode, "sendloop") == 0) {
        send_all(b->publisher.fd, bytes, n);
    } else {
        char text[BURST * (DATA_BYTES + 128)];
        size_t at = 0;

        for (unsigned i = 0; i < n; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at,
                                   "POST /pub HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                   "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
                                   DATA_BYTES, b->data);
        }
        send_all(b->publisher.fd, text, at);
    }
}

/* The answers are of no interest, unless they are refusals. */
static void on_publisher(struct watch *w, uint32_t events)
{
    char text[16384];
    ssize_t n = recv(w->fd, text, sizeof(text) - 1, 0);

    (void)events;
    if (n <= 0) {
        fail("the publisher's connection ended");
    }
    text[n] = '\0';
    if (strncmp(text, "HTTP/1.1 4", 10) == 0 || strncmp(text, "HTTP/1.1 5", 10) == 0) {
        (void)fprintf(stderr, "bench: refused: %s\n", text);
        exit(1);
    }
}

static void open_publisher(struct bench *b)
{
    if (b->opts.is_idle) {
        return;
    }
    if (strcmp(b->opts.mode, "gateway") == 0) {
        b->source = source_open(b->epoll, b->opts.realtime_port);
        if (b->opts.service_key == NULL) {
            return;
        }
    }
    b->publisher = (struct watch){connect_local(b->opts.port), on_publisher};
    watch_add(b->epoll, &b->publisher, EPOLLIN);
    if (strcmp(b->opts.mode, "sendloop") == 0) {
        send_all(b->publisher.fd, "PUB", 3);
    }
}

void client_init(struct bench *b)
{
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    b->streams = tg_calloc(b->opts.n_streams, sizeof(*b->streams));
    make_event(b);
    open_publisher(b);
}

/* ---- streams ---- */

static void start_stream(struct bench *b);

/* The token of a stream: each user has so many devices. */
static void put_token(const struct bench *b, unsigned number, char *out, size_t max)
{
    const char *at = b->opts.tokens;

    for (unsigned skip = number / TOKEN_DEVICES; skip > 0 && strchr(at, ',') != NULL; skip--) {
        at = strchr(at, ',') + 1;
    }
    if (*at == '\0') {
        out[0] = '\0';
    } else {
        (void)snprintf(out, max, "Authorization: Bearer %.*s\r\n", (int)strcspn(at, ","), at);
    }
}

/* False: the socket is still connecting. */
static bool send_request(struct stream *s)
{
    const struct bench *b = s->bench;
    unsigned number = (unsigned)(s - b->streams);
    char text[MAX_REQUEST];
    char token[2048];
    char device[32] = "";
    int len = 0;

    put_token(b, number, token, sizeof(token));
    if (b->opts.has_devices) {
        (void)snprintf(device, sizeof(device), "&device=bench-%u", number);
    }
    len = snprintf(text, sizeof(text), "GET %s%s%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n",
                   b->opts.target, device, b->cursor[0] == '\0' ? "" : "&cursor=", b->cursor, token,
                   b->opts.is_websocket ? "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                          "Sec-WebSocket-Version: 13\r\n"
                                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                        : "Accept: text/event-stream\r\n");
    if (send(s->watch.fd, text, (size_t)len, MSG_NOSIGNAL) != len) {
        if (errno != EAGAIN && errno != ENOTCONN) {
            fail("a request");
        }
        return false;
    }
    return true;
}

/* Where the stream begins: `"cursor":"..."` of its hello. */
static void keep_cursor(struct bench *b, const char *p, size_t n)
{
    static const char member[] = "\"cursor\":\"";
    const char *at = memmem(p, n, member, sizeof(member) - 1);

    if (at != NULL) {
        at += sizeof(member) - 1;
        (void)snprintf(b->hello_cursor, sizeof(b->hello_cursor), "%.*s",
                       (int)TG_MIN(strcspn(at, "\""), (size_t)MAX_CURSOR - 1), at);
    }
}

/* Returns how many bytes belonged to the greeting. */
static size_t greet(struct stream *s, const char *p, size_t n)
{
    struct bench *b = s->bench;
    const char *ready = b->opts.ready;
    const char *whole = s->n_matched == 0 ? memmem(p, n, ready, strlen(ready)) : NULL;
    size_t i = 0;

    if (whole != NULL) {
        s->is_ready = true;
        i = (size_t)(whole - p) + strlen(ready);
    }
    for (; i < n && !s->is_ready; i++) {
        s->n_matched =
            p[i] == ready[s->n_matched] ? s->n_matched + 1 : (p[i] == ready[0] ? 1U : 0U);
        s->is_ready = ready[s->n_matched] == '\0';
    }
    if (s->is_ready) {
        keep_cursor(b, p + i, n - i);
        b->n_ready++;
        if (b->n_started < b->n_wanted) {
            start_stream(b);
        }
    }
    return i;
}

static void count(struct stream *s, const char *p, size_t n)
{
    static const char pong[] = {(char)0x8a, (char)0x80, 0, 0, 0, 0};
    struct bench *b = s->bench;
    const char *end = p + n;

    b->n_bytes += n;
    for (; (p = memchr(p, MARK, (size_t)(end - p))) != NULL; p++) {
        b->n_events++;
        s->n_events++;
        if (b->on_event != NULL) {
            b->on_event(s, b->arg);
        }
    }
    /* A quiet socket is asked whether it still lives. */
    if (b->opts.is_websocket && n == 2 && (unsigned char)end[-2] == 0x89) {
        send_all(s->watch.fd, pong, sizeof(pong));
    }
}

static void on_stream(struct watch *w, uint32_t events)
{
    struct stream *s = (struct stream *)w;
    struct bench *b = s->bench;
    ssize_t n = 0;
    size_t greeted = 0;

    if (!s->is_sent && (events & EPOLLOUT) != 0) {
        s->is_sent = send_request(s);
        watch_change(b->epoll, &s->watch, s->is_sent ? EPOLLIN : EPOLLIN | EPOLLOUT);
        return;
    }
    n = recv(w->fd, b->in, sizeof(b->in) - 1, 0);
    if (n <= 0) {
        fail("a stream ended");
    }
    b->in[n] = '\0';
    if (!s->is_ready) {
        if (!b->opts.is_idle && memcmp(b->in, "HTTP/1.1 ", 9) == 0 &&
            memcmp(b->in, "HTTP/1.1 200", 12) != 0 && memcmp(b->in, "HTTP/1.1 101", 12) != 0) {
            (void)fprintf(stderr, "bench: refused: %s\n", b->in);
            exit(1);
        }
        greeted = greet(s, b->in, (size_t)n);
    }
    count(s, b->in + greeted, (size_t)n - greeted);
}

static void start_stream(struct bench *b)
{
    struct stream *s = &b->streams[b->n_started++];
    const struct linger at_once = {.l_onoff = 1};

    *s = (struct stream){.watch = {connect_local(b->opts.port), on_stream}, .bench = b};
    /* Ended by a reset: ports that wait a minute would be searched by the next run's connects. */
    (void)setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    /* On loopback a connect is done when it returns. */
    s->is_sent = send_request(s);
    watch_add(b->epoll, &s->watch, s->is_sent ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* ---- waiting ---- */

void client_open(struct bench *b, unsigned n_streams)
{
    uint64_t started = now_ns();

    b->n_wanted = n_streams;
    while (b->n_started < n_streams && b->n_started - b->n_ready < b->opts.in_flight) {
        start_stream(b);
    }
    while (b->n_ready < n_streams) {
        if (now_ns() - started > ROUND_NS) {
            fail("streams do not open");
        }
        (void)watch_turn(b->epoll, 1000);
    }
}

void client_wait(struct bench *b, uint64_t n_events)
{
    uint64_t started = now_ns();

    while (b->n_events < n_events) {
        if (now_ns() - started > ROUND_NS) {
            (void)fprintf(stderr, "bench: %llu of %llu events\n", (unsigned long long)b->n_events,
                          (unsigned long long)n_events);
            fail("events were lost");
        }
        (void)watch_turn(b->epoll, 1000);
    }
    if (b->n_events > n_events) {
        fail("events came twice");
    }
}
