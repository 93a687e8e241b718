/* upstream_error.c - the table, and how it is read.
 *
 * Upstream's words are matched by what they begin with: behind that some of them quote what a
 * user wrote (a filter's value may well be "Unauthorized"). The wording of hosted and self-hosted
 * versions differs behind the code, so no row is a whole sentence. */
#include "realtime/upstream_error.h"

static const struct {
    const char *words;
    enum tg_upstream_cause cause;
} phrases[] = {
    /* Refused subscriptions (6): the channel stays, upstream does not try again. */
    {"Unable to subscribe to changes", TG_UP_SUBSCRIPTION},
    {"RealtimeDisabledForConfiguration", TG_UP_SUBSCRIPTION},
    {"Error parsing", TG_UP_FILTER},
    {"Column selection", TG_UP_FILTER},
    {"No subscription params", TG_UP_FILTER},
    /* Refused joins (4.3), some of them also said of channels that were joined (6). */
    {"TopicNameRequired", TG_UP_TOPIC},
    {"RealtimeRestarting", TG_UP_RESTARTING},
    {"Server requested disconnect", TG_UP_RESTARTING},
    {"TenantNotFound", TG_UP_TENANT},
    {"Tenant not found", TG_UP_TENANT},
    {"RealtimeDisabledForTenant", TG_UP_DISABLED},
    {"Realtime was disabled", TG_UP_DISABLED},
    {"PrivateOnly", TG_UP_PRIVATE},
    {"ConnectionRateLimitReached", TG_UP_CONNECTIONS},
    {"Too many connected users", TG_UP_CONNECTIONS},
    {"ClientJoinRateLimitReached", TG_UP_JOIN_RATE},
    {"Too many joins per second", TG_UP_JOIN_RATE},
    {"ChannelRateLimitReached", TG_UP_CHANNELS},
    {"Too many channels", TG_UP_CHANNELS},
    {"Too many messages per second", TG_UP_MESSAGE_RATE},
    {"Too many presence messages", TG_UP_PRESENCE},
    {"Client presence rate limit", TG_UP_PRESENCE},
    {"Track message size exceeded", TG_UP_PRESENCE},
    {"InvalidJWTToken: Token has expired", TG_UP_EXPIRED},
    {"InvalidJWTExpiration", TG_UP_EXPIRED},
    {"Token has expired", TG_UP_EXPIRED},
    {"InvalidJWT", TG_UP_TOKEN},
    {"MalformedJWT", TG_UP_TOKEN},
    {"JwtSign", TG_UP_TOKEN},
    {"Fields `role` and `exp`", TG_UP_TOKEN},
    {"Token expiration time is invalid", TG_UP_TOKEN},
    {"The token provided is not a valid JWT", TG_UP_TOKEN},
    {"Failed to validate JWT", TG_UP_TOKEN},
    {"Failed to generate JWT", TG_UP_TOKEN},
    {"API key is missing", TG_UP_API_KEY},
    {"Unauthorized", TG_UP_FORBIDDEN},
    {"You do not have permissions", TG_UP_FORBIDDEN},
    {"You no longer have permission", TG_UP_FORBIDDEN},
    {"UnableToReplayMessages", TG_UP_REPLAY},
    {"IncreaseConnectionPool", TG_UP_DATABASE},
    {"DatabaseLackOfConnections", TG_UP_DATABASE},
    {"DatabaseConnectionRateLimitReached", TG_UP_DATABASE},
    {"InitializingProjectConnection", TG_UP_DATABASE},
    {"UnableToConnectToProject", TG_UP_DATABASE},
    {"Realtime was unable to connect", TG_UP_DATABASE},
    {"Connecting to the project database", TG_UP_DATABASE},
    {"QueryCanceled", TG_UP_DATABASE},
    {"Query was cancelled", TG_UP_DATABASE},
    {"MissingPartition", TG_UP_DATABASE},
    {"PostgresChangesSubscribeTimeout", TG_UP_DATABASE},
    {"Replication connection was not established", TG_UP_DATABASE},
    {"{:error, ", TG_UP_DATABASE}, /* an inspected term: upstream tries again by itself */
    {"TimeoutOnRpcCall", TG_UP_CLUSTER},
    {"ErrorOnRpcCall", TG_UP_CLUSTER},
    {"MusterJoinError", TG_UP_CLUSTER},
    {"Unknown Error on Channel", TG_UP_CRASHED},
    {"UnknownErrorOnChannel", TG_UP_CRASHED},
    {"join crashed", TG_UP_CRASHED},
    {"channel_crash", TG_UP_CRASHED},
    {"Error connecting to Realtime", TG_UP_UNREACHABLE},
    {"unmatched topic", TG_UP_UNMATCHED},
};

static const struct {
    unsigned number;
    enum tg_upstream_cause cause;
} upgrades[] =
    {
        {401, TG_UP_API_KEY},
        {403, TG_UP_DISABLED}, /* or a vsn that upstream does not speak, which ours is not */
        {404, TG_UP_TENANT},
        {429, TG_UP_CONNECTIONS},
},
  closes[] = {
      {1000, TG_UP_SILENT}, /* no byte of ours for a minute */
      {1001, TG_UP_JOIN_RATE},
      {1012, TG_UP_RESTARTING},
      {1011, TG_UP_CRASHED},
};

static const struct {
    const char *word;
    enum tg_upstream_class class;
    enum tg_rc rc;
} causes[] = {
#define TG_UPSTREAM_ROW(name, word, class, rc) [name] = {word, TG_UPSTREAM_##class, rc},
    TG_UPSTREAM_CAUSES(TG_UPSTREAM_ROW)
#undef TG_UPSTREAM_ROW
};

/* {"reason":"Words"} or "Words" to Words; what is behind them does not matter. */
static tg_str bare(tg_str text)
{
    const tg_str reason = TG_STR("{\"reason\":");

    if (tg_str_has_prefix(text, reason)) {
        text = tg_str_skip(text, reason.n);
    }
    while (text.n > 0 && (text.p[0] == '"' || text.p[0] == ' ')) {
        text = tg_str_skip(text, 1);
    }
    return text;
}

static enum tg_upstream_cause find(tg_str text)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(phrases); i++) {
        if (tg_str_has_prefix(text, tg_str_of(phrases[i].words))) {
            return phrases[i].cause;
        }
    }
    return TG_UP_UNKNOWN;
}

enum tg_upstream_cause tg_upstream_words(tg_str text)
{
    tg_str words = bare(text);
    enum tg_upstream_cause cause = find(words);
    tg_str rest = words;
    tg_str code = tg_str_cut(&rest, ':');

    /* A code that is not known yet, in front of words that are. */
    if (cause == TG_UP_UNKNOWN && tg_str_find(code, ' ') == code.n) {
        cause = find(tg_str_trim(rest));
    }
    return cause;
}

enum tg_upstream_cause tg_upstream_upgrade(unsigned status)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(upgrades); i++) {
        if (upgrades[i].number == status) {
            return upgrades[i].cause;
        }
    }
    return TG_UP_UNREACHABLE;
}

enum tg_upstream_cause tg_upstream_close(unsigned code)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(closes); i++) {
        if (closes[i].number == code) {
            return closes[i].cause;
        }
    }
    return TG_UP_SOCKET;
}

const char *tg_upstream_word(enum tg_upstream_cause cause)
{
    return causes[cause].word;
}

enum tg_upstream_class tg_upstream_class(enum tg_upstream_cause cause)
{
    return causes[cause].class;
}

const char *tg_upstream_class_name(enum tg_upstream_class class)
{
    static const char *const names[] = {"retry", "back_off", "move", "token", "give_up"};

    return names[class];
}

enum tg_rc tg_upstream_rc(enum tg_upstream_cause cause)
{
    return causes[cause].rc;
}
