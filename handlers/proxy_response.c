/* proxy_response.c - the rules for answer fields. */
#include "handlers/proxy_response.h"

#include "handlers/cors.h"

enum { ADDED_FIELDS = TG_CORS_OWN_MAX + 1 };

static struct tg_fields as_fields(struct tg_arena *arena, const struct tg_upstream_field *fields,
                                  size_t n)
{
    struct tg_field *out = tg_arena_alloc(arena, n * sizeof(*out) + 1);

    for (size_t i = 0; i < n; i++) {
        out[i] = (struct tg_field){fields[i].name, fields[i].value};
    }
    return (struct tg_fields){out, n};
}

/* A list without `token`; p == NULL when nothing is left. */
static tg_str list_without(struct tg_arena *arena, tg_str list, tg_str token)
{
    char *out = NULL;
    size_t n = 0;

    if (!tg_field_list_has(list, token)) {
        return list;
    }
    out = tg_arena_alloc(arena, list.n + 2);
    while (list.p != NULL) {
        tg_str entry = tg_str_trim(tg_str_cut(&list, ','));

        if (entry.n == 0 || tg_str_ieq(entry, token)) {
            continue;
        }
        if (n > 0) {
            memcpy(out + n, ", ", 2);
            n += 2;
        }
        memcpy(out + n, entry.p, entry.n);
        n += entry.n;
    }
    return n == 0 ? TG_STR_NONE : tg_str_make(out, n);
}

/* TUS uploads are told where to go on by an absolute URL with the host that Storage believes in
 * (reference/supabase-http.md 8): it becomes the address that the client used. */
static tg_str rewrite_location(struct tg_arena *arena, const struct tg_proxy_in *in, tg_str value)
{
    struct tg_fields asked = in->head->fields;
    tg_str host = tg_forward_host(asked, in->peer, in->head->host);
    tg_str scheme = tg_forward_scheme(asked, in->peer);
    tg_str rest = value;
    tg_str path = TG_STR_NONE;
    char *out = NULL;

    if (in->service != TG_SERVICE_STORAGE || host.n == 0) {
        return value;
    }
    if (tg_str_has_iprefix(value, TG_STR("http://"))) {
        rest = tg_str_skip(value, 7);
    } else if (tg_str_has_iprefix(value, TG_STR("https://"))) {
        rest = tg_str_skip(value, 8);
    } else {
        return value;
    }
    (void)tg_str_cut(&rest, '/');
    if (rest.p == NULL) {
        return value;
    }
    path = tg_str_make(rest.p - 1, rest.n + 1);
    if (!tg_str_has_prefix(path, TG_STR("/storage/v1/upload/resumable"))) {
        return value;
    }
    out = tg_arena_alloc(arena, scheme.n + 3 + host.n + path.n);
    memcpy(out, scheme.p, scheme.n);
    memcpy(out + scheme.n, "://", 3);
    memcpy(out + scheme.n + 3, host.p, host.n);
    memcpy(out + scheme.n + 3 + host.n, path.p, path.n);
    return tg_str_make(out, scheme.n + 3 + host.n + path.n);
}

static bool is_dropped(const struct tg_proxy_in *in, struct tg_fields all, tg_str name)
{
    if (in->is_upgrade &&
        (tg_str_ieq(name, TG_STR("Connection")) || tg_str_ieq(name, TG_STR("Upgrade")))) {
        return false;
    }
    return tg_proxy_is_hop_field(name) || tg_proxy_is_listed(all, name) ||
           tg_str_ieq(name, TG_STR("X-Request-Id")) ||
           tg_str_has_iprefix(name, TG_STR("sb-auth-")) ||
           (in->opts->n_cors_origins > 0 && tg_str_has_iprefix(name, TG_STR("Access-Control-")));
}

struct tg_fields tg_proxy_response(struct tg_arena *arena, const struct tg_proxy_in *in,
                                   tg_str origin, const struct tg_upstream_field *fields, size_t n)
{
    struct tg_fields all = as_fields(arena, fields, n);
    struct tg_field *out = tg_arena_alloc(arena, (n + ADDED_FIELDS) * sizeof(*out));
    size_t n_out = 0;

    for (size_t i = 0; i < n; i++) {
        struct tg_field f = all.v[i];

        if (is_dropped(in, all, f.name)) {
            continue;
        }
        if (tg_str_ieq(f.name, TG_STR("Location"))) {
            f.value = rewrite_location(arena, in, f.value);
        } else if (in->opts->n_cors_origins > 0 && tg_str_ieq(f.name, TG_STR("Vary"))) {
            f.value = list_without(arena, f.value, TG_STR("Origin"));
            if (f.value.p == NULL) {
                continue;
            }
        }
        out[n_out++] = f;
    }
    if (in->opts->n_cors_origins > 0) {
        n_out += tg_cors_own(in->opts, origin, out + n_out, TG_CORS_OWN_MAX);
    }
    out[n_out++] = (struct tg_field){TG_STR("X-Request-Id"), in->id};
    return (struct tg_fields){out, n_out};
}

struct tg_fields tg_proxy_interim(struct tg_arena *arena, const struct tg_upstream_field *fields,
                                  size_t n)
{
    struct tg_fields all = as_fields(arena, fields, n);
    struct tg_field *out = tg_arena_alloc(arena, n * sizeof(*out) + 1);
    size_t n_out = 0;

    for (size_t i = 0; i < n; i++) {
        if (!tg_proxy_is_hop_field(all.v[i].name) && !tg_proxy_is_listed(all, all.v[i].name)) {
            out[n_out++] = all.v[i];
        }
    }
    return (struct tg_fields){out, n_out};
}

unsigned tg_proxy_status(struct tg_arena *arena, const struct tg_proxy_in *in, unsigned status)
{
    tg_str rest = TG_STR_NONE;
    tg_str grant = TG_STR_NONE;

    if (status < 500 || in->service != TG_SERVICE_AUTH || in->head->method != TG_POST ||
        !tg_str_eq(in->path, TG_STR("/auth/v1/token")) ||
        tg_proxy_take_param(arena, in->target, TG_STR("grant_type"), &rest, &grant) != TG_OK) {
        return status;
    }
    return tg_str_eq(grant, TG_STR("refresh_token")) ? 503 : status;
}
