/* proxy_request.c - the rules for request fields and targets. */
#include "handlers/proxy_request.h"

#include "handlers/worker.h"

enum { ADDED_FIELDS = 5 };

/* ---- names ---- */

static bool is_one_of(tg_str name, const tg_str *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (tg_str_ieq(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool tg_proxy_is_hop_field(tg_str name)
{
    static const tg_str names[] = {
        TG_STR_INIT("Connection"),
        TG_STR_INIT("Keep-Alive"),
        TG_STR_INIT("Proxy-Connection"),
        TG_STR_INIT("Proxy-Authenticate"),
        TG_STR_INIT("TE"),
        TG_STR_INIT("Proxy-Authorization"),
        TG_STR_INIT("Transfer-Encoding"),
        TG_STR_INIT("Trailer"),
        TG_STR_INIT("Upgrade"),
        TG_STR_INIT("HTTP2-Settings"),
    };

    return is_one_of(name, names, TG_ARRAY_LEN(names));
}

bool tg_proxy_is_listed(struct tg_fields fields, tg_str name)
{
    static const tg_str kept[] = {TG_STR_INIT("Authorization"), TG_STR_INIT("apikey"),
                                  TG_STR_INIT("Host")};

    return !is_one_of(name, kept, TG_ARRAY_LEN(kept)) &&
           !tg_str_has_iprefix(name, TG_STR("Content-")) &&
           tg_fields_has_token(fields, TG_STR("Connection"), name);
}

/* ---- the query ---- */

/* A broken escape stands for itself; *ret_whole tells. */
static tg_str decode(struct tg_arena *arena, tg_str raw, bool *ret_whole)
{
    char *out = tg_arena_alloc(arena, raw.n + 1);

    return tg_str_make(out, tg_str_unescape(raw, true, out, ret_whole));
}

static bool names_param(struct tg_arena *arena, tg_str raw, tg_str name)
{
    bool is_whole = false;

    return tg_str_eq(raw, name) ||
           (tg_str_find(raw, '%') < raw.n && tg_str_eq(decode(arena, raw, &is_whole), name));
}

enum tg_rc tg_proxy_take_param(struct tg_arena *arena, tg_str target, tg_str name,
                               tg_str *ret_target, tg_str *ret_value)
{
    tg_str query = target;
    tg_str path = tg_str_cut(&query, '?');
    tg_str found = TG_STR_NONE;
    char *out = NULL;
    size_t n = path.n;
    char mark = '?';

    *ret_value = TG_STR_NONE;
    *ret_target = target;
    if (query.p == NULL) {
        return TG_OK;
    }
    out = tg_arena_alloc(arena, target.n + 1);
    memcpy(out, path.p, path.n);
    while (query.p != NULL) {
        tg_str piece = tg_str_cut(&query, '&');
        tg_str value = piece;
        bool is_whole = true;

        if (!names_param(arena, tg_str_cut(&value, '='), name)) {
            out[n++] = mark;
            mark = '&';
            if (piece.n != 0) {
                memcpy(out + n, piece.p, piece.n);
            }
            n += piece.n;
            continue;
        }
        value = decode(arena, value, &is_whole);
        if (!is_whole) {
            return TG_EBADPARAM;
        }
        if (found.p != NULL && !tg_str_eq(found, value)) {
            return TG_EAMBIGUOUS;
        }
        found = value;
    }
    if (found.p != NULL) {
        *ret_target = tg_str_make(out, n);
        *ret_value = found;
    }
    return TG_OK;
}

/* ---- the fields ---- */

struct maker {
    struct tg_arena *arena;
    const struct tg_proxy_in *in;
    struct tg_proxy_out *out;
    tg_str apikey;    /* the client's; p == NULL: none */
    bool uses_secret; /* the key that goes upstream is sb_secret_ */
    bool swaps_key;   /* the project's secret key replaces the client's */
    bool has_id, has_for;
};

static void add(struct maker *m, tg_str name, tg_str value)
{
    m->out->fields[m->out->n++] = (struct tg_upstream_field){name, value};
}

static bool is_browser(tg_str user_agent)
{
    return tg_str_has_iprefix(user_agent, TG_STR("Mozilla/")) ||
           tg_str_has_iprefix(user_agent, TG_STR("Opera/"));
}

/* Auth counts by address on these, and none of them looks at who asks: with the secret key in
 * place of the client's they grant nothing that the client could not have (with others they
 * would: the edge turns the key of a request without a user into the service role). */
static bool is_counted_by_address(const struct tg_proxy_in *in)
{
    static const tg_str paths[] = {
        TG_STR_INIT("/auth/v1/token"),     TG_STR_INIT("/auth/v1/signup"),
        TG_STR_INIT("/auth/v1/otp"),       TG_STR_INIT("/auth/v1/verify"),
        TG_STR_INIT("/auth/v1/magiclink"), TG_STR_INIT("/auth/v1/recover"),
        TG_STR_INIT("/auth/v1/resend"),
    };

    if (in->service != TG_SERVICE_AUTH || in->head->method != TG_POST) {
        return false;
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(paths); i++) {
        if (tg_str_eq(in->path, paths[i])) {
            return true;
        }
    }
    return false;
}

static enum tg_rc check_single(struct tg_fields fields)
{
    static const tg_str names[] = {TG_STR_INIT("Authorization"), TG_STR_INIT("apikey"),
                                   TG_STR_INIT("Host"), TG_STR_INIT("Content-Type")};

    for (size_t i = 0; i < TG_ARRAY_LEN(names); i++) {
        if (tg_fields_count(fields, names[i]) > 1) {
            return TG_EAMBIGUOUS;
        }
    }
    return TG_OK;
}

static bool is_dropped(const struct maker *m, const struct tg_field *f)
{
    const struct tg_proxy_in *in = m->in;

    if (tg_forward_is_reserved(f->name) || tg_str_ieq(f->name, TG_STR("Expect"))) {
        return true;
    }
    if (tg_forward_is_field(f->name) && !in->peer.is_trusted) {
        return true;
    }
    if (in->is_upgrade && (tg_str_ieq(f->name, TG_STR("Upgrade")))) {
        return false;
    }
    if (tg_proxy_is_hop_field(f->name) || tg_proxy_is_listed(in->head->fields, f->name)) {
        return true;
    }
    /* The edge tolerates an opaque key there only if it is the apikey itself. */
    if (m->swaps_key && tg_str_ieq(f->name, TG_STR("Authorization")) &&
        tg_str_has_prefix(tg_apikey_bearer(f->value), TG_STR("sb_"))) {
        return true;
    }
    return m->uses_secret && tg_str_ieq(f->name, TG_STR("User-Agent")) && is_browser(f->value);
}

static void pass_field(struct maker *m, const struct tg_field *f)
{
    const struct tg_proxy_in *in = m->in;

    if (tg_str_ieq(f->name, TG_STR("Host"))) {
        add(m, f->name, in->opts->upstream_authority);
    } else if (tg_str_ieq(f->name, TG_STR("X-Request-Id"))) {
        if (!m->has_id) {
            add(m, f->name, in->id);
        }
        m->has_id = true;
    } else if (tg_str_ieq(f->name, TG_STR("X-Forwarded-For"))) {
        if (!m->has_for) {
            add(m, f->name, tg_forward_for(m->arena, in->head->fields, in->peer));
        }
        m->has_for = true;
    } else if (tg_str_ieq(f->name, TG_STR("Forwarded"))) {
        add(m, f->name, tg_forward_forwarded(m->arena, f->value, in->peer.address));
    } else if (m->swaps_key && tg_str_ieq(f->name, TG_STR("apikey"))) {
        add(m, f->name, in->opts->keys.secret);
    } else {
        add(m, f->name, f->value);
    }
}

/* The key that the client sent, wherever it did. */
static enum tg_rc find_key(struct maker *m)
{
    const struct tg_proxy_in *in = m->in;
    const struct tg_field *field = tg_fields_find(in->head->fields, TG_STR("apikey"));
    tg_str without = TG_STR_NONE;
    tg_str param = TG_STR_NONE;
    enum tg_rc rc = tg_proxy_take_param(m->arena, in->target, TG_STR("apikey"), &without, &param);

    if (in->service == TG_SERVICE_REST || in->service == TG_SERVICE_AUTH) {
        if (rc != TG_OK) {
            return rc;
        }
        if (!tg_field_is_value(param)) {
            return TG_EBADPARAM;
        }
        m->out->target = without;
    }
    if (param.n == 0) {
        param = TG_STR_NONE;
    }
    m->apikey = field != NULL ? field->value : param;
    return TG_OK;
}

static void choose_key(struct maker *m)
{
    const struct tg_proxy_in *in = m->in;
    const struct tg_handler_opts *o = in->opts;
    tg_str key = m->apikey.p != NULL ? m->apikey : o->project_key;

    m->swaps_key = o->forward_client_ip && o->keys.secret.n > 0 && is_counted_by_address(in);
    m->uses_secret = m->swaps_key || tg_apikey_form(key) == TG_APIKEY_SECRET;
}

static void add_own(struct maker *m)
{
    const struct tg_proxy_in *in = m->in;
    const struct tg_handler_opts *o = in->opts;
    bool has_field = tg_fields_find(in->head->fields, TG_STR("apikey")) != NULL;
    bool is_in_query = in->service != TG_SERVICE_REST && in->service != TG_SERVICE_AUTH;

    if (!has_field && m->swaps_key) {
        add(m, TG_STR("apikey"), o->keys.secret);
    } else if (!has_field && m->apikey.p == NULL && o->project_key.n > 0) {
        add(m, TG_STR("apikey"), o->project_key);
    } else if (!has_field && m->apikey.p != NULL && !is_in_query) {
        add(m, TG_STR("apikey"), m->apikey);
    }
    if (!m->has_for) {
        add(m, TG_STR("X-Forwarded-For"), in->peer.address);
    }
    if (m->swaps_key) {
        add(m, TG_STR("Sb-Forwarded-For"), tg_forward_client(in->head->fields, in->peer));
    }
    if (!m->has_id) {
        add(m, TG_STR("X-Request-Id"), in->id);
    }
}

enum tg_rc tg_proxy_request(struct tg_arena *arena, const struct tg_proxy_in *in,
                            struct tg_proxy_out *ret_out)
{
    const struct tg_fields fields = in->head->fields;
    struct maker m = {.arena = arena, .in = in, .out = ret_out};
    enum tg_rc rc = check_single(fields);

    ret_out->target = in->target;
    ret_out->n = 0;
    ret_out->fields = tg_arena_alloc(arena, (fields.n + ADDED_FIELDS) * sizeof(ret_out->fields[0]));
    if (rc == TG_OK) {
        rc = find_key(&m);
    }
    if (rc != TG_OK) {
        return rc;
    }
    choose_key(&m);
    if (in->head->host.p == NULL) {
        add(&m, TG_STR("Host"), in->opts->upstream_authority);
    }
    if (in->is_upgrade) {
        add(&m, TG_STR("Connection"), TG_STR("Upgrade"));
    }
    for (size_t i = 0; i < fields.n; i++) {
        if (!is_dropped(&m, &fields.v[i])) {
            pass_field(&m, &fields.v[i]);
        }
    }
    add_own(&m);
    return TG_OK;
}
