/* wsclient.c - libwebsockets as a client.
 *
 * Invariant: a tg_ws lives from tg_ws_open() to its on_close. libwebsockets may report the end
 * of a socket by CLIENT_CONNECTION_ERROR, CLIENT_CLOSED or only WSI_DESTROY: the last one always
 * comes, so on_close is called there. */
#include "realtime/wsclient.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WS_MAGIC 0x77736f6bU

enum { MAX_QUEUED = 4096, CONNECT_TIMEOUT_SECS = 10, RX_BUFFER = 32768 };

struct message {
    struct message *next;
    size_t n;
    unsigned char bytes[]; /* LWS_PRE, then the text */
};

struct tg_wsc {
    struct lws_context *lws;
    struct lws_protocols protocols[3];
    struct tg_wsc_opts opts;
    lws_sorted_usec_list_t sul;
    bool ending;
};

struct tg_ws {
    unsigned magic;
    struct tg_wsc *wsc;
    const char *api_key;
    struct lws *wsi;
    struct tg_ws_handler h;
    void *arg;
    struct message *head;
    struct message **tail;
    size_t n_queued;
    struct tg_buf rx;
    unsigned close_code;
    char why[128];
    bool closing;
    bool opening; /* inside tg_ws_open(): nothing is reported, it returns an error */
    bool dead;    /* ended while opening */
};

static void remember_why(struct tg_ws *ws, const void *in, size_t n)
{
    if (ws->why[0] == '\0' && in != NULL) {
        (void)snprintf(ws->why, sizeof(ws->why), "%.*s", (int)TG_MIN(n, sizeof(ws->why) - 1),
                       (const char *)in);
    }
}

static void free_ws(struct tg_ws *ws)
{
    struct message *m = ws->head;

    while (m != NULL) {
        struct message *next = m->next;

        free(m);
        m = next;
    }
    tg_buf_fini(&ws->rx);
    ws->magic = 0;
    free(ws);
}

static int add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
                      unsigned char *end)
{
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), p, end);
}

static int on_handshake(struct tg_ws *ws, void *in, size_t len)
{
    unsigned char **p = in;
    unsigned char *end = *p + len;
    const char *key = ws->api_key;

    if (key == NULL) {
        return 0;
    }
    return add_header(ws->wsi, "apikey:", key, p, end) != 0 ||
           add_header(ws->wsi, "x-api-key:", key, p, end) != 0;
}

/* Text may come in pieces. Binary messages are broadcasts, which no channel of ours asks for. */
static int on_receive(struct tg_ws *ws, const void *in, size_t n)
{
    if (lws_frame_is_binary(ws->wsi)) {
        return 0;
    }
    if (tg_buf_append(&ws->rx, in, n) != TG_OK) {
        remember_why(ws, "message too large", 17);
        return -1;
    }
    if (lws_is_final_fragment(ws->wsi) && lws_remaining_packet_payload(ws->wsi) == 0) {
        ws->h.on_text(tg_buf_view(&ws->rx), ws->arg);
        tg_buf_clear(&ws->rx);
    }
    return ws->closing ? -1 : 0;
}

static int on_writable(struct tg_ws *ws)
{
    struct message *m = ws->head;
    int n = 0;

    if (ws->closing) {
        return -1;
    }
    if (m == NULL) {
        return 0;
    }
    n = lws_write(ws->wsi, m->bytes + LWS_PRE, m->n, LWS_WRITE_TEXT);
    ws->head = m->next;
    if (ws->head == NULL) {
        ws->tail = &ws->head;
    }
    ws->n_queued--;
    /* libwebsockets keeps what the socket did not take; less than all means it failed. */
    if (n < (int)m->n) {
        free(m);
        return -1;
    }
    free(m);
    if (ws->head != NULL) {
        (void)lws_callback_on_writable(ws->wsi);
    }
    return 0;
}

static void on_peer_close(struct tg_ws *ws, const unsigned char *in, size_t n)
{
    if (n >= 2) {
        ws->close_code = (unsigned)in[0] << 8U | in[1];
        remember_why(ws, in + 2, n - 2);
    }
}

static void on_sul(lws_sorted_usec_list_t *sul)
{
    struct tg_wsc *w = TG_CONTAINER_OF(sul, struct tg_wsc, sul);

    w->opts.on_wake(w->opts.arg);
}

void tg_wsc_wake_in(struct tg_wsc *w, tg_usec after)
{
    lws_sul_schedule(w->lws, 0, &w->sul, on_sul, (lws_usec_t)TG_MAX(after, (tg_usec)1));
}

static int on_socket(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct tg_ws *ws = lws_get_opaque_user_data(wsi);

    (void)user;
    if (ws == NULL) {
        return 0;
    }
    TG_CHECK(ws, WS_MAGIC);
    ws->wsi = wsi;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return on_handshake(ws, in, len);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        ws->h.on_open(ws->arg);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_receive(ws, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(ws);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        on_peer_close(ws, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        ws->close_code = lws_http_client_http_response(wsi);
        remember_why(ws, in, len);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: {
        struct tg_ws_handler h = ws->h;
        struct tg_wsc *w = ws->wsc;
        void *arg = ws->arg;
        unsigned code = ws->close_code;
        char why[sizeof(ws->why)];

        lws_set_opaque_user_data(wsi, NULL);
        if (ws->wsc->ending) {
            free_ws(ws);
            return 0;
        }
        if (ws->opening) {
            ws->dead = true;
            return 0;
        }
        memcpy(why, ws->why, sizeof(why));
        free_ws(ws);
        h.on_close(code, tg_str_of(why), arg);
        /* A time that ran out (and so tg_ws_close()) ends a socket in front of the poll of
         * lws_service(), which knows nothing of the timers and mail this has led to. */
        tg_wsc_wake_in(w, 0);
        return 0;
    }
    default:
        return 0;
    }
}

/* The mailbox's descriptor, watched as a raw file. */
static int on_file(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        struct tg_wsc *w = lws_context_user(lws_get_context(wsi));

        w->opts.on_wake(w->opts.arg);
    }
    return 0;
}

enum tg_rc tg_wsc_create(const struct tg_wsc_opts *opts, struct tg_wsc **ret_wsc)
{
    struct lws_context_creation_info info = {0};
    lws_sock_file_fd_type fd = {0};
    struct tg_wsc *w = NULL;

    lws_set_log_level(LLL_ERR, NULL);
    w = TG_NEW(struct tg_wsc);
    w->opts = *opts;
    w->protocols[0] = (struct lws_protocols){
        .name = "tidegate", .callback = on_socket, .rx_buffer_size = RX_BUFFER};
    w->protocols[1] = (struct lws_protocols){.name = "mail", .callback = on_file};
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = w->protocols;
    info.user = w;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    info.connect_timeout_secs = CONNECT_TIMEOUT_SECS;
    info.timeout_secs = CONNECT_TIMEOUT_SECS;
    info.pt_serv_buf_size = RX_BUFFER; /* what one read takes */
    info.fd_limit_per_thread = 1024;
    if (opts->tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.client_ssl_ca_filepath = opts->ca_file;
    }
    w->lws = lws_create_context(&info);
    if (w->lws == NULL) {
        free(w);
        return TG_EIO;
    }
    /* libwebsockets closes what it adopts: it gets a descriptor of its own. */
    fd.filefd = dup(opts->wake_fd);
    if (fd.filefd == -1 ||
        lws_adopt_descriptor_vhost(lws_get_vhost_by_name(w->lws, "default"),
                                   LWS_ADOPT_RAW_FILE_DESC, fd, "mail", NULL) == NULL) {
        lws_context_destroy(w->lws);
        free(w);
        return TG_ELIMIT;
    }
    *ret_wsc = w;
    return TG_OK;
}

bool tg_wsc_service(struct tg_wsc *w)
{
    return lws_service(w->lws, 0) >= 0;
}

void tg_wsc_destroy(struct tg_wsc *w)
{
    if (w != NULL) {
        w->ending = true;
        lws_sul_cancel(&w->sul);
        lws_context_destroy(w->lws);
        free(w);
    }
}

enum tg_rc tg_ws_open(struct tg_wsc *w, const char *address, const struct tg_ws_request *r,
                      const struct tg_ws_handler *h, void *arg, struct tg_ws **ret_ws)
{
    struct lws_client_connect_info info = {0};
    struct tg_ws *ws = NULL;

    if (strlen(r->target) > TG_WS_TARGET_MAX) {
        return TG_ELIMIT;
    }
    ws = TG_NEW(struct tg_ws);
    ws->api_key = r->api_key;

    ws->magic = WS_MAGIC;
    ws->wsc = w;
    ws->arg = arg;
    ws->tail = &ws->head;
    tg_buf_init(&ws->rx, w->opts.max_message_bytes);
    info.context = w->lws;
    info.address = address;
    info.port = (int)w->opts.port;
    info.path = r->target;
    info.host = w->opts.host;
    info.origin = NULL;
    info.ssl_connection = w->opts.tls ? LCCSCF_USE_SSL : 0;
    info.local_protocol_name = "tidegate";
    info.opaque_user_data = ws;
    info.ietf_version_or_minus_one = -1;
    ws->h = *h;
    info.pwsi = &ws->wsi;
    /* A failure inside this call shows as NULL, as WSI_DESTROY, or as both. */
    ws->opening = true;
    if (lws_client_connect_via_info(&info) == NULL || ws->dead) {
        free_ws(ws);
        return TG_EIO;
    }
    ws->opening = false;
    *ret_ws = ws;
    return TG_OK;
}

enum tg_rc tg_ws_send(struct tg_ws *ws, tg_str text)
{
    struct message *m = NULL;

    TG_CHECK(ws, WS_MAGIC);
    if (ws->n_queued == MAX_QUEUED) {
        return TG_EFULL;
    }
    m = tg_malloc(sizeof(*m) + LWS_PRE + text.n);
    m->next = NULL;
    m->n = text.n;
    memcpy(m->bytes + LWS_PRE, text.p, text.n);
    *ws->tail = m;
    ws->tail = &m->next;
    ws->n_queued++;
    (void)lws_callback_on_writable(ws->wsi);
    return TG_OK;
}

void tg_ws_close(struct tg_ws *ws)
{
    TG_CHECK(ws, WS_MAGIC);
    ws->closing = true;
    if (ws->wsi != NULL) {
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
}
