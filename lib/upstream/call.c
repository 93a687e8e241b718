/* call.c - what libcurl asks and tells while a call runs.
 *
 * These run inside libcurl, which must not be entered again from here: what the owner does
 * in its callbacks (pause, cancel, write) only sets flags and kicks the call. */
#include "upstream/call_int.h"
#include "upstream/line.h"

static bool is_over(const struct tg_call *call)
{
    return call->failed != TG_OK;
}

static void moved(struct tg_call *call)
{
    call->moved = tg_loop_now(call->up->loop);
}

/* ---- the request ---- */

/* The connection is there, the request goes out now. libcurl calls this once more when it
 * repeats a request on its own because a pooled connection turned out to be dead. */
/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct tg_call *call = arg;

    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    TG_CHECK(call, TG_CALL_MAGIC);
    if (call->attempts++ > 0) {
        if (!call->may_retry || !tg_retry_is_allowed(tg_str_of(call->method), true) ||
            !tg_retry_spend(&call->up->budget)) {
            return CURL_PREREQFUNC_ABORT;
        }
        tg_count_add(&call->up->counts->retried, 1);
        call->may_retry = false; /* that was the second try */
    }
    call->state = TG_CALL_SENDING;
    call->sent_any = true;
    moved(call);
    return CURL_PREREQFUNC_OK;
}

/* The answer came whole, though the request has not ended or could not be sent to its end. */
bool tg_call_is_answered(const struct tg_call *call)
{
    return call->has_head &&
           (call->is_bodyless || (call->length != -1 && call->received == call->length));
}

/* Whoever waits for room learns from tg_call_write() that none is needed any more. */
static void refuse_body(struct tg_call *call)
{
    call->body_refused = true;
    if (call->owes_drain) {
        call->owes_drain = false;
        call->h->on_drain(call, call->ctx);
    }
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    struct tg_call *call = arg;
    size_t left = call->body.n - call->body_at;
    size_t take = TG_MIN(left, size * n);

    TG_CHECK(call, TG_CALL_MAGIC);
    if (is_over(call)) {
        return CURL_READFUNC_ABORT;
    }
    if (take == 0 && call->body_ended && call->written < call->body_length) {
        tg_call_fail(call, TG_ECANCELED); /* the owner ended it short of what it announced */
        return CURL_READFUNC_ABORT;
    }
    if (take == 0) {
        call->send_paused = !call->body_ended;
        return call->body_ended ? 0 : CURL_READFUNC_PAUSE;
    }
    memcpy(out, call->body.p + call->body_at, take);
    call->body_at += take;
    moved(call);
    tg_count_add(&call->up->counts->bytes_out, take);
    if (call->body_at == call->body.n) {
        tg_buf_clear(&call->body);
        call->body_at = 0;
    }
    if (call->owes_drain && left - take <= call->up->opts.send_buffer / 2) {
        call->owes_drain = false;
        call->h->on_drain(call, call->ctx);
    }
    return take;
}

/* ---- the answer's head ---- */

static struct tg_upstream_field *add_field(struct tg_call *call, size_t at)
{
    if (at == call->cap_fields) {
        call->cap_fields = TG_MAX(32U, call->cap_fields * 2);
        call->fields = tg_realloc(call->fields, call->cap_fields, sizeof(struct tg_upstream_field));
    }
    return &call->fields[at];
}

/* Two lengths that differ are two answers. */
static enum tg_rc note_framing(struct tg_call *call, const struct tg_upstream_field *f,
                               bool *is_chunked)
{
    int64_t length = 0;

    if (tg_str_ieq(f->name, TG_STR("Transfer-Encoding"))) {
        *is_chunked = true;
    } else if (tg_str_ieq(f->name, TG_STR("Content-Length"))) {
        if (tg_line_length(f->value, &length) != TG_OK ||
            (call->length != -1 && call->length != length)) {
            return TG_EUPSTREAM;
        }
        call->length = length;
    }
    return TG_OK;
}

/* libcurl would wait until the rest of the request is sent, which nobody reads. */
static void end_when_answered(struct tg_call *call)
{
    if (call->mode == TG_MODE_UPLOAD && tg_call_is_answered(call)) {
        tg_call_kick(call);
    }
}

static enum tg_rc take_head(struct tg_call *call)
{
    tg_str rest = tg_buf_view(&call->head);
    tg_str reason = TG_STR_NONE;
    unsigned status = 0;
    size_t n = 0;
    bool is_chunked = false;

    call->length = -1;
    if (tg_line_status(tg_line_chomp(tg_str_cut(&rest, '\n')), &status, &reason) != TG_OK) {
        return TG_EUPSTREAM;
    }
    while (rest.n > 0) {
        tg_str line = tg_str_cut(&rest, '\n');
        struct tg_upstream_field *f = add_field(call, n);

        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (line.n == 0) {
            break;
        }
        if (tg_line_field(line, &f->name, &f->value) != TG_OK ||
            note_framing(call, f, &is_chunked) != TG_OK) {
            return TG_EUPSTREAM;
        }
        n++;
    }
    if (reason.n > 0 && reason.p[reason.n - 1] == '\r') {
        reason.n--;
    }
    if (status == 101) {
        return TG_EUPSTREAM; /* nobody asked for another protocol */
    }
    if (status < 200) {
        if (call->h->on_interim != NULL) {
            call->h->on_interim(call, status, call->fields, n, call->ctx);
        }
        return TG_OK;
    }
    call->has_head = true;
    call->state = TG_CALL_ANSWERING;
    call->is_bodyless = call->mode == TG_MODE_HEAD || status == 204 || status == 304;
    if (is_chunked) {
        call->length = -1;
    }
    call->h->on_head(call, status, reason, call->fields, n, call->length, call->ctx);
    /* libcurl, too, stops sending here, but goes on when upstream is content so far. */
    if (call->mode == TG_MODE_UPLOAD && !is_over(call)) {
        if (status >= 300) {
            refuse_body(call);
        }
        end_when_answered(call);
    }
    return TG_OK;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct tg_call *call = arg;
    tg_str line = tg_str_make(p, size * n);
    enum tg_rc rc = TG_OK;

    TG_CHECK(call, TG_CALL_MAGIC);
    if (is_over(call)) {
        return 0;
    }
    moved(call);
    tg_count_add(&call->up->counts->bytes_in, line.n);
    if (call->has_head) {
        return line.n; /* trailers are hop by hop */
    }
    if (tg_buf_str(&call->head, line) != TG_OK) {
        call->failed = TG_EUPSTREAM;
        return 0;
    }
    if (tg_line_chomp(line).n > 0) {
        return line.n;
    }
    rc = take_head(call);
    tg_buf_clear(&call->head);
    if (rc != TG_OK) {
        call->failed = rc;
        return 0;
    }
    return line.n;
}

/* ---- the answer's body ---- */

static size_t on_write(char *p, size_t size, size_t n, void *arg)
{
    struct tg_call *call = arg;
    tg_str bytes = tg_str_make(p, size * n);

    TG_CHECK(call, TG_CALL_MAGIC);
    if (is_over(call) || !call->has_head) {
        return 0;
    }
    if (call->recv_paused) {
        call->is_curl_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    moved(call);
    call->received += (int64_t)bytes.n;
    tg_count_add(&call->up->counts->bytes_in, bytes.n);
    call->h->on_body(call, bytes, call->ctx);
    end_when_answered(call);
    return bytes.n;
}

void tg_call_unpause(struct tg_call *call)
{
    bool is_more = call->send_paused && (call->body.n > call->body_at || call->body_ended);
    bool is_wanted = call->is_curl_paused && !call->recv_paused;
    int paused = 0;

    if (!is_more && !is_wanted) {
        return;
    }
    call->send_paused = call->send_paused && !is_more;
    call->is_curl_paused = call->is_curl_paused && !is_wanted;
    paused |= call->send_paused ? CURLPAUSE_SEND : 0;
    paused |= call->is_curl_paused ? CURLPAUSE_RECV : 0;
    moved(call);
    (void)curl_easy_pause(call->easy, paused);
}

void tg_call_setup(struct tg_call *call)
{
    CURL *easy = call->easy;
    const struct tg_upstream *up = call->up;

    tg_multi_setup(&call->up->multi, easy);
    curl_easy_setopt(easy, CURLOPT_URL, up->url);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     up->opts.http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, up->opts.http2 ? 1L : 0L);
    if (up->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, up->ca_file);
    }
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(up->opts.connect_timeout / 1000));
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)(up->opts.idle_timeout / TG_SEC(1)));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 65536L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 65536L);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
}
