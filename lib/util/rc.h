/* rc.h - the one table of results: what functions return, what clients are told.
 *
 * No errno, CURLcode or Redis status leaves the folder that knows the library;
 * each has one rc_from_x(). `code` and `status` are what an HTTP client sees;
 * they are stable and documented in docs/ERRORS.md. */
#ifndef TG_UTIL_RC_H
#define TG_UTIL_RC_H

#include "util/base.h"

/*      name            code     HTTP  retry  text                                                */
#define TG_RC_TABLE(X)                                                                             \
    X(TG_OK, "TG000", 200, false, "ok")                                                            \
    X(TG_EBADREQ, "TG400", 400, false, "The request could not be understood")                      \
    X(TG_EAMBIGUOUS, "TG401", 400, false, "The request can be read in two ways")                   \
    X(TG_EBADTARGET, "TG402", 400, false, "The request target is not acceptable")                  \
    X(TG_EBADTOPIC, "TG403", 400, false, "The topic is not valid")                                 \
    X(TG_EBADCURSOR, "TG404", 400, false, "The cursor is not valid")                               \
    X(TG_EBADJSON, "TG405", 400, false, "The body is not the JSON that is wanted here")            \
    X(TG_EBADPARAM, "TG406", 400, false, "A parameter is not valid")                               \
    X(TG_ENOTOKEN, "TG410", 401, false, "A bearer token is required")                              \
    X(TG_EBADTOKEN, "TG411", 401, false, "The token is not valid")                                 \
    X(TG_EEXPIRED, "TG412", 401, false, "The token has expired")                                   \
    X(TG_EEARLY, "TG413", 401, false, "The token is not valid yet")                                \
    X(TG_ENOKEY, "TG414", 401, false, "No API key found in request")                               \
    X(TG_EBADKEY, "TG415", 401, false, "The API key is not valid")                                 \
    X(TG_EUNKNOWNKEY, "TG416", 401, false, "The token is signed with a key that is not known")     \
    X(TG_EBADSIGNATURE, "TG417", 401, false, "The signature is not valid")                         \
    X(TG_ESIGNEDOUT, "TG418", 401, false, "The session has been signed out")                       \
    X(TG_ETICKET, "TG419", 401, false, "The ticket has been used or is too old")                   \
    X(TG_EFORBIDDEN, "TG430", 403, false, "Not allowed")                                           \
    X(TG_ENOTFOUND, "TG440", 404, false, "There is nothing here")                                  \
    X(TG_EMETHOD, "TG450", 405, false, "The method is not allowed here")                           \
    X(TG_ETIMEDOUT, "TG480", 408, true, "The request did not arrive in time")                      \
    X(TG_ECONFLICT, "TG490", 409, false, "The request conflicts with the present state")           \
    X(TG_EBODYSIZE, "TG513", 413, false, "The body is too large")                                  \
    X(TG_ETARGETSIZE, "TG514", 414, false, "The request target is too long")                       \
    X(TG_EMEDIATYPE, "TG515", 415, false, "The content type is not supported")                     \
    X(TG_ESEMANTIC, "TG522", 422, false, "The content was understood but cannot be used")          \
    X(TG_EUPGRADE, "TG527", 426, false, "A WebSocket of version 13 is wanted here")                \
    X(TG_ERATE, "TG529", 429, true, "Too many requests")                                           \
    X(TG_EUSERSTREAMS, "TG523", 429, true, "This user has too many streams open")                  \
    X(TG_EADDRESSSTREAMS, "TG524", 429, true, "This address has too many streams open")            \
    X(TG_EDEVICES, "TG525", 429, false, "This user has too many devices")                          \
    X(TG_EDEVICETOPICS, "TG526", 429, false, "This device follows too many topics")                \
    X(TG_EHEADSIZE, "TG531", 431, false, "The request header is too large")                        \
    X(TG_EINTERNAL, "TG600", 500, false, "Something went wrong here")                              \
    X(TG_EVERSION, "TG605", 505, false, "The HTTP version is not supported")                       \
    X(TG_EUPSTREAM, "TG602", 502, true, "The upstream did not give a usable answer")               \
    X(TG_ESTORE, "TG603", 503, true, "The store cannot be reached")                                \
    X(TG_EOPEN, "TG604", 503, true, "The upstream is failing and is not being asked")              \
    X(TG_EBUSY, "TG606", 503, true, "Too many at once")                                            \
    X(TG_EDRAINING, "TG607", 503, true, "This gateway is going away")                              \
    X(TG_ENOTREADY, "TG608", 503, true, "Not ready yet")                                           \
    X(TG_EALLSTREAMS, "TG610", 503, true, "Too many streams are open on this gateway")             \
    X(TG_ESTOREFULL, "TG612", 503, true, "The store has no memory left")                           \
    X(TG_EREALTIME, "TG614", 502, false, "Realtime does not serve this project so")                \
    X(TG_EACCESS, "TG613", 503, true, "Whether this may be read cannot be asked now")              \
    X(TG_EANONDEVICES, "TG611", 503, true, "There are too many anonymous devices")                 \
    X(TG_EGATEWAYTIME, "TG609", 504, true, "The upstream did not answer in time")                  \
    /* Inside the program; a client sees them as TG600 unless a handler says better. */            \
    X(TG_ECANCELED, "TG700", 500, false, "cancelled")                                              \
    X(TG_ECLOSED, "TG701", 500, false, "closed")                                                   \
    X(TG_EFULL, "TG702", 503, true, "full")                                                        \
    X(TG_ELIMIT, "TG703", 500, false, "over a limit")                                              \
    X(TG_EAGAIN, "TG704", 503, true, "not now")                                                    \
    X(TG_EEOF, "TG705", 500, false, "end of input")                                                \
    X(TG_EIO, "TG706", 500, true, "input or output failed")                                        \
    X(TG_EREFUSED, "TG707", 502, true, "connection refused")                                       \
    X(TG_EEPOCH, "TG708", 500, false, "the log is another one")                                    \
    X(TG_EFENCED, "TG709", 500, false, "another gateway writes here now")                          \
    X(TG_ESYNTAX, "TG710", 400, false, "syntax error")                                             \
    X(TG_EUNSUPPORTED, "TG711", 500, false, "not supported")

enum tg_rc {
#define TG_RC_ENUM(name, code, status, retry, text) name,
    TG_RC_TABLE(TG_RC_ENUM)
#undef TG_RC_ENUM
        TG_RC_MAX
};

/* All: any thread; borrowed for ever; `rc` outside the table is TG_EINTERNAL. */
const char *tg_rc_name(enum tg_rc rc);
const char *tg_rc_code(enum tg_rc rc);
const char *tg_rc_text(enum tg_rc rc);
unsigned tg_rc_status(enum tg_rc rc);
bool tg_rc_is_retryable(enum tg_rc rc);

#endif
