/* cors.c - lists and answers of cross-origin requests. */
#include "handlers/cors.h"

#define EXPOSED                                                                                    \
    "tidegate-cursor, tidegate-recovered, tidegate-device, x-request-id, next-poll, retry-after, " \
    "content-range, "                                                                              \
    "content-location, preference-applied, location, etag, x-supabase-api-version, "               \
    "x-total-count, link, upload-offset, upload-length, tus-resumable, tus-complete, "             \
    "x-relay-error, sb-request-id, proxy-status"

#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

/* The SDKs' fields and ours. */
#define ALLOWED                                                                                    \
    "authorization, apikey, content-type, x-client-info, x-supabase-api-version, prefer, accept, " \
    "accept-profile, content-profile, range, range-unit, x-retry-count, x-region, x-upsert, "      \
    "x-metadata, x-signature, cache-control, tus-resumable, upload-length, upload-offset, "        \
    "upload-metadata, upload-defer-length, upload-concat, x-http-method-override, "                \
    "x-requested-with, traceparent, tracestate, baggage, if-none-match, if-match, "                \
    "if-modified-since, last-event-id, idempotency-key, x-request-id"

bool tg_cors_is_allowed(const struct tg_handler_opts *opts, tg_str origin)
{
    for (size_t i = 0; i < opts->n_cors_origins; i++) {
        if (tg_str_eq(opts->cors_origins[i], TG_STR("*")) ||
            tg_str_eq(opts->cors_origins[i], origin)) {
            return true;
        }
    }
    return false;
}

bool tg_cors_may_connect(const struct tg_handler_opts *opts, tg_str origin)
{
    return opts->n_cors_origins == 0 || origin.p == NULL || tg_cors_is_allowed(opts, origin);
}

size_t tg_cors_own(const struct tg_handler_opts *opts, tg_str origin, struct tg_field *out,
                   size_t max)
{
    size_t n = 0;

    TG_ASSERT(max >= TG_CORS_OWN_MAX);
    if (opts->n_cors_origins == 0) {
        out[n++] = (struct tg_field){TG_STR("Access-Control-Allow-Origin"), TG_STR("*")};
    } else {
        out[n++] = (struct tg_field){TG_STR("Vary"), TG_STR("Origin")};
        if (origin.n == 0 || !tg_cors_is_allowed(opts, origin)) {
            return n;
        }
        out[n++] = (struct tg_field){TG_STR("Access-Control-Allow-Origin"), origin};
    }
    out[n++] = (struct tg_field){TG_STR("Access-Control-Expose-Headers"), TG_STR(EXPOSED)};
    return n;
}

bool tg_cors_is_preflight(const struct tg_head *head)
{
    return head->method == TG_OPTIONS && tg_fields_find(head->fields, TG_STR("Origin")) != NULL &&
           tg_fields_find(head->fields, TG_STR("Access-Control-Request-Method")) != NULL;
}

static tg_str seconds_text(struct tg_arena *arena, uint32_t seconds)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = 16};

    (void)tg_buf_u64(&text, seconds);
    return tg_arena_str(arena, tg_buf_view(&text));
}

size_t tg_cors_preflight(const struct tg_handler_opts *opts, tg_str origin, struct tg_arena *arena,
                         struct tg_field *out, size_t max)
{
    bool is_listed = opts->n_cors_origins > 0;
    size_t n = 0;

    TG_ASSERT(max >= TG_CORS_PREFLIGHT_MAX);
    if (is_listed) {
        out[n++] = (struct tg_field){TG_STR("Vary"), TG_STR("Origin")};
    }
    out[n++] =
        (struct tg_field){TG_STR("Access-Control-Allow-Origin"), is_listed ? origin : TG_STR("*")};
    out[n++] = (struct tg_field){TG_STR("Access-Control-Allow-Methods"), TG_STR(METHODS)};
    out[n++] = (struct tg_field){TG_STR("Access-Control-Allow-Headers"), TG_STR(ALLOWED)};
    out[n++] = (struct tg_field){TG_STR("Access-Control-Max-Age"),
                                 seconds_text(arena, opts->cors_max_age_sec)};
    return n;
}
