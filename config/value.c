/* value.c - every type of key: reading, writing, bounds, and how it is described.
 *
 * Numbers of all kinds are read into a uint64_t, checked against bounds that are read by
 * the same function, and stored in their width. */
#include "config/value.h"

#include "config/text.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, for rendering. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"g", UINT64_C(1024) * 1024 * 1024}, {"m", UINT64_C(1024) * 1024}, {"k", 1024}, {"", 1}};

static const char *const policies[] = {
    [TG_POLICY_OFF] = "off",
    [TG_POLICY_VERIFY] = "verify",
    [TG_POLICY_REQUIRE] = "require",
};
static const char *const levels[] = {
    [TG_LOG_DEBUG] = "debug",
    [TG_LOG_INFO] = "info",
    [TG_LOG_WARN] = "warn",
    [TG_LOG_ERROR] = "error",
};

_Static_assert(sizeof(enum tg_config_policy) == sizeof(unsigned), "stored as unsigned");
_Static_assert(sizeof(enum tg_log_level) == sizeof(unsigned), "stored as unsigned");

/* "10s" with the unit required, but for 0; or "64k" with the empty unit. */
static bool to_amount(tg_str text, const struct unit *units, size_t n_units, uint64_t *ret_n)
{
    size_t digits = 0;
    uint64_t n = 0;
    tg_str unit = TG_STR_NONE;

    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') {
        digits++;
    }
    if (tg_str_to_u64(tg_str_make(text.p, digits), &n) != TG_OK) {
        return false;
    }
    unit = tg_str_skip(text, digits);
    if (n == 0 && unit.n == 0) {
        *ret_n = 0;
        return true;
    }
    for (size_t i = 0; i < n_units; i++) {
        if (tg_str_eq(unit, tg_str_of(units[i].name))) {
            return !__builtin_mul_overflow(n, units[i].factor, ret_n);
        }
    }
    return false;
}

static bool to_choice(tg_str text, const char *const *words, size_t n_words, uint64_t *ret_n)
{
    for (size_t i = 0; i < n_words; i++) {
        if (tg_str_eq(text, tg_str_of(words[i]))) {
            *ret_n = i;
            return true;
        }
    }
    return false;
}

static bool to_bool(tg_str text, uint64_t *ret_n)
{
    bool is_on = tg_str_eq(text, TG_STR("on")) || tg_str_eq(text, TG_STR("true"));

    *ret_n = is_on;
    return is_on || tg_str_eq(text, TG_STR("off")) || tg_str_eq(text, TG_STR("false"));
}

static bool is_number(enum tg_config_type type)
{
    return type <= TG_CONFIG_KEY_BYTES || type == TG_CONFIG_KEY_POLICY ||
           type == TG_CONFIG_KEY_LEVEL;
}

static bool to_number(enum tg_config_type type, tg_str text, uint64_t *ret_n)
{
    if (type == TG_CONFIG_KEY_BOOL) {
        return to_bool(text, ret_n);
    }
    if (type == TG_CONFIG_KEY_DURATION) {
        return to_amount(text, durations, TG_ARRAY_LEN(durations), ret_n);
    }
    if (type == TG_CONFIG_KEY_BYTES) {
        return to_amount(text, sizes, TG_ARRAY_LEN(sizes), ret_n);
    }
    if (type == TG_CONFIG_KEY_POLICY) {
        return to_choice(text, policies, TG_ARRAY_LEN(policies), ret_n);
    }
    if (type == TG_CONFIG_KEY_LEVEL) {
        return to_choice(text, levels, TG_ARRAY_LEN(levels), ret_n);
    }
    return tg_str_to_u64(text, ret_n) == TG_OK;
}

/* The bounds of a number in its own unit, of a text in bytes, of a list in entries. */
static bool is_within(const struct tg_config_key *key, enum tg_config_type type, uint64_t n)
{
    uint64_t least = 0;
    uint64_t most = 0;

    if (key->most[0] == '\0') {
        return true;
    }
    TG_ASSERT(to_number(type, tg_str_of(key->least), &least));
    TG_ASSERT(to_number(type, tg_str_of(key->most), &most));
    return n >= least && n <= most;
}

static void store_number(enum tg_config_type type, void *member, uint64_t n)
{
    unsigned narrow = (unsigned)n;
    bool flag = n != 0;

    if (type == TG_CONFIG_KEY_BOOL) {
        memcpy(member, &flag, sizeof(flag));
    } else if (type == TG_CONFIG_KEY_U32 || type == TG_CONFIG_KEY_POLICY ||
               type == TG_CONFIG_KEY_LEVEL) {
        memcpy(member, &narrow, sizeof(narrow));
    } else {
        memcpy(member, &n, sizeof(n));
    }
}

static uint64_t load_number(enum tg_config_type type, const void *member)
{
    unsigned narrow = 0;
    bool flag = false;
    uint64_t n = 0;

    if (type == TG_CONFIG_KEY_BOOL) {
        memcpy(&flag, member, sizeof(flag));
        return flag;
    }
    if (type == TG_CONFIG_KEY_U32 || type == TG_CONFIG_KEY_POLICY || type == TG_CONFIG_KEY_LEVEL) {
        memcpy(&narrow, member, sizeof(narrow));
        return narrow;
    }
    memcpy(&n, member, sizeof(n));
    return n;
}

/* An empty text is judged by its length alone: it means "not set". */
static bool is_form(enum tg_config_type type, tg_str text)
{
    char host[TG_HOST_MAX];
    uint16_t port = 0;

    if (text.n == 0 && type != TG_CONFIG_KEY_ADDRESS) {
        return true;
    }
    switch (type) {
    case TG_CONFIG_KEY_NAME:
        return tg_text_is_name(text);
    case TG_CONFIG_KEY_ADDRESS:
        return tg_text_address(text, host, &port) == TG_OK;
    case TG_CONFIG_KEY_URL:
        return tg_text_is_url(text, "http https", 0);
    case TG_CONFIG_KEY_PATH_URL:
        return tg_text_is_url(text, "http https", TG_URL_PATH);
    case TG_CONFIG_KEY_SOCKET_URL:
        return tg_text_is_url(text, "ws wss", TG_URL_PATH);
    case TG_CONFIG_KEY_STORE_URL:
        return tg_text_is_url(text, "redis", TG_URL_PATH | TG_URL_USER) ||
               (tg_str_has_prefix(text, TG_STR("unix:/")) && tg_text_is_plain(text));
    case TG_CONFIG_KEY_TEXT:
        return tg_text_is_plain(text);
    case TG_CONFIG_KEY_BOOL:
    case TG_CONFIG_KEY_U32:
    case TG_CONFIG_KEY_U64:
    case TG_CONFIG_KEY_DURATION:
    case TG_CONFIG_KEY_BYTES:
    case TG_CONFIG_KEY_CIDRS:
    case TG_CONFIG_KEY_ORIGINS:
    case TG_CONFIG_KEY_TABLES:
    case TG_CONFIG_KEY_POLICY:
    case TG_CONFIG_KEY_LEVEL:
        break;
    }
    return false;
}

static bool is_entry(enum tg_config_type type, tg_str text)
{
    if (type == TG_CONFIG_KEY_CIDRS) {
        return tg_text_is_cidr(text);
    }
    if (type == TG_CONFIG_KEY_ORIGINS) {
        return tg_text_is_origin(text);
    }
    return tg_text_is_table(text);
}

static enum tg_rc set_list(const struct tg_config_key *key, struct tg_config *cfg, tg_str text,
                           struct tg_config_list *member)
{
    size_t n = 0;
    tg_str left = text;
    const char **items = NULL;

    if (text.n == 0) {
        left = TG_STR_NONE;
    }
    while (left.p != NULL) {
        if (!is_entry(key->type, tg_str_trim(tg_str_cut(&left, ',')))) {
            return TG_EBADPARAM;
        }
        n++;
    }
    if (!is_within(key, TG_CONFIG_KEY_U64, n)) {
        return TG_EBADPARAM;
    }
    items = tg_arena_alloc(&cfg->arena, TG_MAX(n, 1) * sizeof(*items));
    left = text;
    for (size_t i = 0; i < n; i++) {
        items[i] = tg_arena_cstr(&cfg->arena, tg_str_trim(tg_str_cut(&left, ',')));
    }
    *member = (struct tg_config_list){items, n};
    return TG_OK;
}

static enum tg_rc set_text(const struct tg_config_key *key, struct tg_config *cfg, tg_str text,
                           const char **member)
{
    if (!is_form(key->type, text) || !is_within(key, TG_CONFIG_KEY_U64, text.n)) {
        return TG_EBADPARAM;
    }
    /* An origin is kept without the slash, so that paths can be put behind it. */
    if (key->type == TG_CONFIG_KEY_URL && tg_str_has_suffix(text, TG_STR("/"))) {
        text.n--;
    }
    *member = tg_arena_cstr(&cfg->arena, text);
    return TG_OK;
}

enum tg_rc tg_value_set(const struct tg_config_key *key, struct tg_config *cfg, tg_str text)
{
    void *member = (char *)cfg + key->offset;
    uint64_t n = 0;

    if (tg_config_key_is_list(key)) {
        return set_list(key, cfg, text, member);
    }
    if (!is_number(key->type)) {
        return set_text(key, cfg, text, member);
    }
    if (!to_number(key->type, text, &n) || !is_within(key, key->type, n)) {
        return TG_EBADPARAM;
    }
    store_number(key->type, member, n);
    return TG_OK;
}

static void render_amount(uint64_t n, const struct unit *units, size_t n_units, struct tg_buf *out)
{
    size_t i = 0;

    /* The largest unit that divides it; the last one always does. */
    while (i + 1 < n_units && (n == 0 || n % units[i].factor != 0)) {
        i++;
    }
    tg_buf_u64(out, n / units[i].factor);
    if (n != 0) {
        tg_buf_str(out, tg_str_of(units[i].name));
    }
}

static void render_number(enum tg_config_type type, uint64_t n, struct tg_buf *out)
{
    if (type == TG_CONFIG_KEY_BOOL) {
        tg_buf_str(out, tg_str_of(n != 0 ? "on" : "off"));
    } else if (type == TG_CONFIG_KEY_DURATION) {
        render_amount(n, durations, TG_ARRAY_LEN(durations), out);
    } else if (type == TG_CONFIG_KEY_BYTES) {
        render_amount(n, sizes, TG_ARRAY_LEN(sizes), out);
    } else if (type == TG_CONFIG_KEY_POLICY) {
        tg_buf_str(out, tg_str_of(policies[n]));
    } else if (type == TG_CONFIG_KEY_LEVEL) {
        tg_buf_str(out, tg_str_of(levels[n]));
    } else {
        tg_buf_u64(out, n);
    }
}

void tg_value_render(const struct tg_config_key *key, const struct tg_config *cfg,
                     struct tg_buf *out)
{
    const void *member = (const char *)cfg + key->offset;

    if (tg_config_key_is_list(key)) {
        const struct tg_config_list *list = member;

        for (size_t i = 0; i < list->n; i++) {
            if (i > 0) {
                tg_buf_char(out, ',');
            }
            tg_buf_str(out, tg_str_of(list->items[i]));
        }
    } else if (is_number(key->type)) {
        render_number(key->type, load_number(key->type, member), out);
    } else {
        const char *const *text = member;

        tg_buf_str(out, tg_str_of(*text));
    }
}

static void describe_words(const char *const *words, size_t n, struct tg_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        tg_buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
    }
}

/* What one value or entry looks like, without its bounds. */
static const char *noun_of(enum tg_config_type type)
{
    switch (type) {
    case TG_CONFIG_KEY_BOOL:
        return "on or off";
    case TG_CONFIG_KEY_U32:
    case TG_CONFIG_KEY_U64:
        return "a whole number";
    case TG_CONFIG_KEY_DURATION:
        return "a duration (units ms, s, m, h, d)";
    case TG_CONFIG_KEY_BYTES:
        return "a size in bytes (units k, m, g)";
    case TG_CONFIG_KEY_TEXT:
        return "printable text";
    case TG_CONFIG_KEY_NAME:
        return "letters, digits, dot, dash and underscore";
    case TG_CONFIG_KEY_ADDRESS:
        return "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";
    case TG_CONFIG_KEY_URL:
        return "http:// or https://, host and port, no path";
    case TG_CONFIG_KEY_PATH_URL:
        return "an http:// or https:// URL without query";
    case TG_CONFIG_KEY_SOCKET_URL:
        return "a ws:// or wss:// URL without query";
    case TG_CONFIG_KEY_STORE_URL:
        return "a redis:// URL or unix:/path";
    case TG_CONFIG_KEY_CIDRS:
        return "networks, such as 10.0.0.0/8 or ::1";
    case TG_CONFIG_KEY_ORIGINS:
        return "*, or origins in lower case, such as https://app.example.com";
    case TG_CONFIG_KEY_TABLES:
        return "tables, as schema.table";
    case TG_CONFIG_KEY_POLICY:
    case TG_CONFIG_KEY_LEVEL:
        break;
    }
    return "";
}

void tg_value_describe(const struct tg_config_key *key, struct tg_buf *out)
{
    if (key->type == TG_CONFIG_KEY_POLICY) {
        describe_words(policies, TG_ARRAY_LEN(policies), out);
        return;
    }
    if (key->type == TG_CONFIG_KEY_LEVEL) {
        describe_words(levels, TG_ARRAY_LEN(levels), out);
        return;
    }
    tg_buf_str(out, tg_str_of(noun_of(key->type)));
    if (key->most[0] == '\0') {
        return;
    }
    if (tg_config_key_is_list(key)) {
        tg_buf_printf(out, ", %s to %s entries", key->least, key->most);
    } else if (is_number(key->type)) {
        tg_buf_printf(out, " from %s to %s", key->least, key->most);
    } else if (key->least[0] == '0') {
        tg_buf_printf(out, ", at most %s bytes, or empty", key->most);
    } else {
        tg_buf_printf(out, ", %s to %s bytes", key->least, key->most);
    }
}

enum tg_rc tg_value_duration(tg_str text, uint64_t *ret_ms)
{
    return to_number(TG_CONFIG_KEY_DURATION, text, ret_ms) ? TG_OK : TG_EBADPARAM;
}

void tg_value_put_duration(uint64_t ms, struct tg_buf *out)
{
    render_number(TG_CONFIG_KEY_DURATION, ms, out);
}
