/* route.c - prefixes, and what a path turns into when somebody resolves it. */
#include "handlers/route.h"

#include <stdlib.h>

enum { MAX_SEGMENTS = 512 };

struct route {
    tg_str prefix;
    enum tg_service service;
    enum { WHOLE, FOLDER, PREFIX } kind;
};

static const struct route routes[] = {
    {TG_STR_INIT("/sync/v1"), TG_SERVICE_OWN, FOLDER},
    {TG_STR_INIT("/auth/v1"), TG_SERVICE_AUTH, FOLDER},
    {TG_STR_INIT("/rest/v1"), TG_SERVICE_REST, FOLDER},
    {TG_STR_INIT("/storage/v1"), TG_SERVICE_STORAGE, FOLDER},
    {TG_STR_INIT("/functions/v1"), TG_SERVICE_FUNCTIONS, FOLDER},
    {TG_STR_INIT("/graphql/v1"), TG_SERVICE_GRAPHQL, FOLDER},
    {TG_STR_INIT("/realtime/v1/websocket"), TG_SERVICE_REALTIME, WHOLE},
    {TG_STR_INIT("/realtime/v1/api/broadcast"), TG_SERVICE_BROADCAST, PREFIX},
};

const char *tg_service_name(enum tg_service s)
{
    static const char *const names[TG_SERVICE_MAX] = {
        [TG_SERVICE_NONE] = "none",           [TG_SERVICE_OWN] = "own",
        [TG_SERVICE_AUTH] = "auth",           [TG_SERVICE_REST] = "rest",
        [TG_SERVICE_STORAGE] = "storage",     [TG_SERVICE_FUNCTIONS] = "functions",
        [TG_SERVICE_GRAPHQL] = "graphql",     [TG_SERVICE_REALTIME] = "realtime",
        [TG_SERVICE_BROADCAST] = "broadcast",
    };

    TG_ASSERT((unsigned)s < TG_SERVICE_MAX);
    return names[s];
}

enum tg_rc tg_route_origin_form(tg_str target, tg_str host, tg_str *ret_target)
{
    tg_str rest = target;
    size_t end = 0;

    if (tg_str_find(target, '#') != target.n) {
        return TG_EBADTARGET; /* no part of a target, and not read alike by all */
    }
    if (target.n > 0 && target.p[0] == '/') {
        *ret_target = target;
        return TG_OK;
    }
    if (tg_str_has_iprefix(target, TG_STR("http://"))) {
        rest = tg_str_skip(target, 7);
    } else if (tg_str_has_iprefix(target, TG_STR("https://"))) {
        rest = tg_str_skip(target, 8);
    } else {
        return TG_EBADTARGET;
    }
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?') {
        end++;
    }
    if (end == 0 || !tg_str_ieq(tg_str_make(rest.p, end), host) ||
        tg_str_find(tg_str_make(rest.p, end), '@') != end) {
        return TG_EBADTARGET;
    }
    rest = tg_str_skip(rest, end);
    if (rest.n > 0 && rest.p[0] == '?') {
        return TG_EBADTARGET; /* no path: "/?..." would be another text */
    }
    *ret_target = rest.n == 0 ? TG_STR("/") : rest;
    return TG_OK;
}

static enum tg_service service_of(tg_str path)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];
        bool fits = tg_str_has_prefix(path, r->prefix);

        if (fits && path.n > r->prefix.n) {
            fits = r->kind == PREFIX || (r->kind == FOLDER && path.p[r->prefix.n] == '/');
        }
        if (fits) {
            return r->service;
        }
    }
    return TG_SERVICE_NONE;
}

/* ---- what a path turns into ---- */

/* The next character as a resolver reads it; moves `*at` behind it. */
static char next_char(tg_str path, size_t *at)
{
    char c = path.p[(*at)++];

    if (c == '%' && *at + 1 < path.n) {
        char low = (char)((unsigned char)path.p[*at + 1] | 0x20U);
        char high = path.p[*at];
        char decoded = 0;

        if (high == '2' && low == 'e') {
            decoded = '.';
        } else if ((high == '2' && low == 'f') || (high == '5' && low == 'c')) {
            decoded = '/';
        }
        if (decoded != 0) {
            *at += 2;
            c = decoded;
        }
    }
    return c == '\\' ? '/' : c;
}

/* Segments of the resolved path, as they stand in `text`. */
struct resolved {
    char *text;
    size_t n;
    size_t starts[MAX_SEGMENTS]; /* of each '/' that is still there */
    size_t n_starts;
};

static void end_segment(struct resolved *r, bool merge)
{
    size_t start = r->starts[r->n_starts - 1];
    tg_str segment = tg_str_make(r->text + start + 1, r->n - start - 1);

    if (tg_str_eq(segment, TG_STR(".")) || (merge && segment.n == 0)) {
        r->n_starts--;
        r->n = start;
    } else if (tg_str_eq(segment, TG_STR(".."))) {
        r->n_starts--;
        r->n = start;
        if (r->n_starts > 0) {
            r->n = r->starts[--r->n_starts];
        }
    }
}

/* The service of the resolved path. `merge`: repeated slashes count once (Envoy, nginx).
 * TG_SERVICE_MAX: too deep to tell. */
static enum tg_service resolve(tg_str path, struct resolved *r, bool merge)
{
    bool is_folder = false;

    r->n = 0;
    r->n_starts = 0;
    for (size_t i = 0; i < path.n;) {
        char c = next_char(path, &i);

        is_folder = false;
        if (c == '/') {
            if (r->n_starts > 0) {
                end_segment(r, merge);
            }
            if (r->n_starts == MAX_SEGMENTS) {
                return TG_SERVICE_MAX;
            }
            r->starts[r->n_starts++] = r->n;
            is_folder = true;
        }
        r->text[r->n++] = c;
    }
    if (!is_folder && r->n_starts > 0) {
        end_segment(r, merge);
    }
    return service_of(tg_str_make(r->text, r->n));
}

static bool needs_resolving(tg_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];

        if (c == '%' || c == '\\' ||
            (c == '/' && i + 1 < path.n && (path.p[i + 1] == '.' || path.p[i + 1] == '/'))) {
            return true;
        }
    }
    return false;
}

enum tg_rc tg_route(tg_str path, enum tg_service *ret_service)
{
    enum tg_service raw = service_of(path);

    if (needs_resolving(path)) {
        struct resolved r = {.text = tg_malloc(path.n + 1)};
        bool same = resolve(path, &r, false) == raw && resolve(path, &r, true) == raw;

        free(r.text);
        if (!same) {
            return TG_EBADTARGET;
        }
    }
    if (raw == TG_SERVICE_NONE) {
        return TG_ENOTFOUND;
    }
    *ret_service = raw;
    return TG_OK;
}
