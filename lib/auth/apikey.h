/* apikey.h - what an API key is, and whether an Authorization header names a user.
 *
 * A key says which project and which of its two doors; a Bearer token says who. The key may
 * be a legacy JWT (anon, service_role) or opaque (sb_publishable_, sb_secret_). Comparisons
 * take a time that does not depend on where the texts differ. */
#ifndef TG_AUTH_APIKEY_H
#define TG_AUTH_APIKEY_H

#include "util/str.h"

/* The project's keys as configured, in either form; empty: none. Borrowed. */
struct tg_apikeys {
    tg_str anon;        /* legacy anon JWT */
    tg_str service;     /* legacy service_role JWT */
    tg_str publishable; /* sb_publishable_... */
    tg_str secret;      /* sb_secret_... */
};

enum tg_apikey_form {
    TG_APIKEY_NONE,        /* empty */
    TG_APIKEY_JWT,         /* three parts */
    TG_APIKEY_PUBLISHABLE, /* sb_publishable_... */
    TG_APIKEY_SECRET,      /* sb_secret_... */
    TG_APIKEY_OTHER,       /* sb_temp_..., garbage */
};

enum tg_apikey_door {
    TG_APIKEY_FOREIGN, /* not one of ours: the upstream decides */
    TG_APIKEY_PUBLIC,  /* our anon or publishable key */
    TG_APIKEY_SERVICE, /* our service_role or secret key: not a user, may publish */
};

enum tg_apikey_form tg_apikey_form(tg_str key);
enum tg_apikey_door tg_apikey_door(const struct tg_apikeys *ours, tg_str key);

/* The text behind "Bearer " of an Authorization value (scheme in any case), blanks trimmed.
 * TG_STR_NONE if the scheme is another or nothing follows. [borrowed] from `value`. */
tg_str tg_apikey_bearer(tg_str value);

/* The Bearer token of a user's request: as above, but TG_STR_NONE for `Bearer sb_...`, which
 * names no user. (SDKs without a session send their anon JWT here: classify it first.) */
tg_str tg_apikey_user_token(tg_str value);

#endif
