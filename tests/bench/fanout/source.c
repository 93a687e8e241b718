/* source.c - the server side of a WebSocket (RFC 6455) and as much of Phoenix as a join needs. */
#include "source.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/measure.h"
#include "realtime/phoenix.h"

enum { MAX_IN = 64 * 1024, MAX_FRAME = 4096 };

struct peer {
    struct watch watch;
    struct source *source;
    bool is_open;
    size_t n_in;
    char in[MAX_IN];
};

struct source {
    struct watch watch;
    int epoll;
    struct peer *joined;
    char join_ref[24];
    char topic[512];
};

/* ---- frames out ---- */

/* Puts a text frame behind out[at]; returns where it ends. */
static size_t put_frame(char *out, size_t at, const char *text, size_t n)
{
    out[at++] = (char)0x81;
    if (n < 126) {
        out[at++] = (char)n;
    } else {
        out[at++] = 126;
        out[at++] = (char)(n >> 8U);
        out[at++] = (char)n;
    }
    memcpy(out + at, text, n);
    return at + n;
}

static void say(const struct peer *p, const char *text)
{
    char frame[MAX_FRAME + 4];

    send_all(p->watch.fd, frame, put_frame(frame, 0, text, strlen(text)));
}

void source_publish(struct source *s, const char *record, unsigned n)
{
    char text[MAX_FRAME];
    char *out = tg_malloc((size_t)n * (MAX_FRAME + 4));
    size_t at = 0;
    int len =
        snprintf(text, sizeof(text),
                 "[\"%s\",null,\"%s\",\"postgres_changes\",{\"ids\":[1],\"data\":{"
                 "\"columns\":[{\"name\":\"id\",\"type\":\"int8\"},"
                 "{\"name\":\"pad\",\"type\":\"text\"}],\"errors\":null," SOURCE_EVENT_FORMAT "}}]",
                 s->join_ref, s->topic, record);

    for (unsigned i = 0; i < n; i++) {
        at = put_frame(out, at, text, (size_t)len);
    }
    send_all(s->joined->watch.fd, out, at);
    free(out);
}

/* ---- frames in ---- */

static void on_text(struct peer *p, const char *text, size_t n)
{
    struct source *s = p->source;
    char answer[MAX_FRAME];
    struct tg_phoenix f;
    bool is_join = false;

    if (tg_phoenix_parse(tg_str_make(text, n), &f) != TG_OK) {
        return;
    }
    is_join = tg_str_eq(f.event, TG_STR("phx_join"));
    (void)snprintf(answer, sizeof(answer),
                   "[%s%.*s%s,\"%.*s\",\"%.*s\",\"phx_reply\",{\"status\":\"ok\",\"response\":"
                   "{\"postgres_changes\":[{\"id\":1,\"event\":\"*\",\"schema\":\"public\","
                   "\"table\":\"bench\"}]}}]",
                   is_join ? "\"" : "", is_join ? (int)f.join_ref.n : 4,
                   is_join ? f.join_ref.p : "null", is_join ? "\"" : "", (int)f.ref.n, f.ref.p,
                   (int)f.topic.n, f.topic.p);
    say(p, answer);
    if (!is_join) {
        return;
    }
    (void)snprintf(s->join_ref, sizeof(s->join_ref), "%.*s", (int)f.join_ref.n, f.join_ref.p);
    (void)snprintf(s->topic, sizeof(s->topic), "%.*s", (int)f.topic.n, f.topic.p);
    (void)snprintf(answer, sizeof(answer),
                   "[\"%s\",null,\"%s\",\"system\",{\"channel\":\"bench\",\"extension\":"
                   "\"postgres_changes\",\"message\":\"Subscribed to PostgreSQL\","
                   "\"status\":\"ok\"}]",
                   s->join_ref, s->topic);
    say(p, answer);
    s->joined = p;
}

/* Takes one masked frame out of in[at..n_in): its length, or 0 when it is not whole. */
static size_t take_frame(struct peer *p, size_t at)
{
    const unsigned char *f = (const unsigned char *)p->in + at;
    size_t left = p->n_in - at;
    size_t head = 6;
    size_t n = left >= 2 ? f[1] & 0x7fU : 0;
    char text[MAX_IN];

    if (n == 126) {
        head = 8;
        n = left >= head ? (size_t)f[2] << 8U | f[3] : 0;
    }
    if (left < head || left < head + n) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(f[head + i] ^ f[head - 4 + i % 4]);
    }
    if ((f[0] & 0x0fU) == 1) {
        on_text(p, text, n);
    }
    return head + n;
}

/* ---- the handshake ---- */

static void shake_hands(struct peer *p)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const char *field = strcasestr(p->in, "sec-websocket-key:");
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char accept[64];
    char text[256];
    int len = 0;

    if (field == NULL) {
        static const char no[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

        send_all(p->watch.fd, no, sizeof(no) - 1);
        return;
    }
    field += strlen("sec-websocket-key:");
    field += strspn(field, " ");
    len = snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(field, " \r"), field, guid);
    (void)EVP_Digest(text, (size_t)len, digest, NULL, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock(accept, digest, 20);
    len = snprintf(text, sizeof(text),
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                   (const char *)accept);
    send_all(p->watch.fd, text, (size_t)len);
    p->is_open = true;
}

static void close_peer(struct peer *p)
{
    if (p->source->joined == p) {
        p->source->joined = NULL;
    }
    (void)close(p->watch.fd);
    free(p);
}

static void on_peer(struct watch *w, uint32_t events)
{
    struct peer *p = (struct peer *)w;
    ssize_t n = recv(w->fd, p->in + p->n_in, sizeof(p->in) - p->n_in - 1, 0);
    size_t at = 0;

    (void)events;
    if (n <= 0) {
        close_peer(p);
        return;
    }
    p->n_in += (size_t)n;
    p->in[p->n_in] = '\0';
    if (!p->is_open) {
        char *end = strstr(p->in, "\r\n\r\n");

        if (end == NULL) {
            return;
        }
        shake_hands(p);
        at = (size_t)(end + 4 - p->in);
    }
    for (size_t one = 1; p->is_open && one != 0; at += one) {
        one = take_frame(p, at);
    }
    p->n_in -= at;
    memmove(p->in, p->in + at, p->n_in);
}

static void on_accept(struct watch *w, uint32_t events)
{
    struct source *s = (struct source *)w;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd != -1) {
        struct peer *p = tg_calloc(1, sizeof(*p));

        p->watch = (struct watch){fd, on_peer};
        p->source = s;
        watch_add(s->epoll, &p->watch, EPOLLIN);
    }
}

struct source *source_open(int epoll, uint16_t port)
{
    struct source *s = tg_calloc(1, sizeof(*s));

    s->epoll = epoll;
    s->watch = (struct watch){listen_local(port), on_accept};
    watch_add(epoll, &s->watch, EPOLLIN);
    return s;
}

bool source_is_joined(const struct source *s)
{
    return s->joined != NULL;
}
