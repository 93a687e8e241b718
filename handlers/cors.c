/* cors.c - lists and answers of cross-origin requests. */
#include "handlers/cors.h"

#define EXPOSED                                                                                    \
    "tidegate-cursor, tidegate-recovered, x-request-id, next-poll, retry-after, content-range, "   \
    "content-location, preference-applied, location, etag, x-supabase-api-version, "               \
    "x-total-count, link, upload-offset, upload-length, tus-resumable, tus-complete, "             \
    "x-relay-error, sb-request-id, proxy-status"

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
