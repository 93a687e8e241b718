/* apikey.c - what an API key is; see reference: legacy JWTs, sb_publishable_, sb_secret_. */
#include "auth/apikey.h"

enum tg_apikey_form tg_apikey_form(tg_str key)
{
    tg_str rest = key;
    tg_str head = TG_STR_NONE;
    tg_str payload = TG_STR_NONE;

    if (key.n == 0) {
        return TG_APIKEY_NONE;
    }
    if (tg_str_has_prefix(key, TG_STR("sb_publishable_"))) {
        return TG_APIKEY_PUBLISHABLE;
    }
    if (tg_str_has_prefix(key, TG_STR("sb_secret_"))) {
        return TG_APIKEY_SECRET;
    }
    head = tg_str_cut(&rest, '.');
    payload = tg_str_cut(&rest, '.');
    if (head.n > 0 && payload.n > 0 && rest.n > 0 && tg_str_find(rest, '.') == rest.n) {
        return TG_APIKEY_JWT;
    }
    return TG_APIKEY_OTHER;
}

static bool is_ours(tg_str ours, tg_str key)
{
    return ours.n > 0 && tg_str_eq_secret(ours, key);
}

enum tg_apikey_door tg_apikey_door(const struct tg_apikeys *ours, tg_str key)
{
    /* All four are compared whatever the outcome of the first. */
    bool is_service = is_ours(ours->service, key);
    bool is_secret = is_ours(ours->secret, key);
    bool is_anon = is_ours(ours->anon, key);
    bool is_publishable = is_ours(ours->publishable, key);

    if (is_service || is_secret) {
        return TG_APIKEY_SERVICE;
    }
    return is_anon || is_publishable ? TG_APIKEY_PUBLIC : TG_APIKEY_FOREIGN;
}

tg_str tg_apikey_bearer(tg_str value)
{
    tg_str rest = tg_str_trim(value);
    tg_str scheme = tg_str_cut(&rest, ' ');

    if (!tg_str_ieq(scheme, TG_STR("Bearer"))) {
        return TG_STR_NONE;
    }
    rest = tg_str_trim(rest);
    return rest.n == 0 ? TG_STR_NONE : rest;
}

tg_str tg_apikey_user_token(tg_str value)
{
    tg_str token = tg_apikey_bearer(value);

    return tg_str_has_prefix(token, TG_STR("sb_")) ? TG_STR_NONE : token;
}
