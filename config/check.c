/* check.c - derived values and rules between keys. */
#include "config/check.h"

#include <sys/random.h>
#include <unistd.h>

#include "config/text.h"
#include "config/value.h"

enum { HOST_NAME_MAX_BYTES = 48, DERIVED_MAX = 1024, SECRET_MIN_BYTES = 32 };

/* The value was made here, so that its form is beyond doubt; only a bound may refuse it, and
 * then the key stays empty. */
static void derive(struct tg_config *cfg, const char *name, tg_str text)
{
    const struct tg_config_key *key = tg_config_key_get(name);

    if (tg_value_set(key, cfg, text) == TG_OK) {
        cfg->origin[tg_config_key_place(key)].from = TG_FROM_DERIVED;
    }
}

static void derive_urls(struct tg_config *cfg)
{
    struct tg_buf url;
    tg_str rest = tg_str_of(cfg->supabase.url);
    bool is_tls = tg_str_has_prefix(rest, TG_STR("https:"));

    if (rest.n == 0) {
        return;
    }
    tg_buf_init(&url, DERIVED_MAX);
    if (cfg->supabase.jwks_url[0] == '\0') {
        tg_buf_printf(&url, "%s/auth/v1/.well-known/jwks.json", cfg->supabase.url);
        derive(cfg, "supabase.jwks_url", tg_buf_view(&url));
    }
    tg_buf_clear(&url);
    (void)tg_str_cut(&rest, ':');
    if (cfg->supabase.realtime_url[0] == '\0') {
        tg_buf_printf(&url, "%s:%.*s/realtime/v1/websocket", is_tls ? "wss" : "ws",
                      TG_STR_ARG(rest));
        derive(cfg, "supabase.realtime_url", tg_buf_view(&url));
    }
    tg_buf_fini(&url);
}

/* Two gateways on hosts of one name, or one that restarts while its leases live, must differ. */
static void derive_id(struct tg_config *cfg)
{
    char host[HOST_NAME_MAX_BYTES] = "";
    uint32_t number = 0;
    struct tg_buf id;

    if (gethostname(host, sizeof(host) - 1) != 0 || !tg_text_is_name(tg_str_of(host)) ||
        host[0] == '\0') {
        memcpy(host, "gateway", sizeof("gateway"));
    }
    TG_ASSERT(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
    tg_buf_init(&id, DERIVED_MAX);
    tg_buf_printf(&id, "%s-%08x", host, number);
    derive(cfg, "gateway.id", tg_buf_view(&id));
    tg_buf_fini(&id);
}

void tg_check_derive(struct tg_config *cfg)
{
    derive_urls(cfg);
    if (cfg->gateway.id[0] == '\0') {
        derive_id(cfg);
    }
}

static bool is_same_fixed_address(const char *a, const char *b)
{
    char host[TG_HOST_MAX];
    uint16_t port = 0;

    return strcmp(a, b) == 0 && tg_text_address(tg_str_of(a), host, &port) == TG_OK && port != 0;
}

/* The keys are fetched over the same connections as everything else. */
static bool is_on_project(const struct tg_config *cfg, const char *url)
{
    tg_str rest = tg_str_of(url);
    tg_str project = tg_str_of(cfg->supabase.url);

    if (!tg_str_has_prefix(rest, project)) {
        return false;
    }
    rest = tg_str_skip(rest, project.n);
    return rest.n > 0 && rest.p[0] == '/';
}

void tg_check_rules(const struct tg_config *cfg, tg_check_error_fn *on_error, void *arg)
{
    if (is_same_fixed_address(cfg->server.listen, cfg->admin.listen)) {
        on_error("admin.listen", "must differ from server.listen", arg);
    }
    if (cfg->limits.head_bytes < cfg->limits.target_bytes) {
        on_error("limits.head_bytes", "must be at least limits.target_bytes", arg);
    }
    if (cfg->gateway.group_size > 1 && cfg->store.url[0] == '\0') {
        on_error("gateway.group_size",
                 "several gateways need a common store: set store.url, or leave this at 1", arg);
    }
    if (cfg->gateway.secret[0] != '\0' && strlen(cfg->gateway.secret) < SECRET_MIN_BYTES) {
        on_error("gateway.secret", "must have at least 32 bytes: openssl rand -hex 32", arg);
    }
    if (cfg->gateway.group_size > 1 && cfg->gateway.secret[0] == '\0') {
        on_error("gateway.secret",
                 "several gateways need the same secret, at least 32 bytes: openssl rand -hex 32",
                 arg);
    }
    if (cfg->supabase.anon_key[0] != '\0' &&
        (tg_str_has_prefix(tg_str_of(cfg->supabase.anon_key), TG_STR("sb_secret_")) ||
         strcmp(cfg->supabase.anon_key, cfg->supabase.service_key) == 0)) {
        on_error("supabase.anon_key",
                 "is a secret key: every client would have its rights; use the anon or "
                 "publishable key",
                 arg);
    }
    if (cfg->supabase.jwks_url[0] != '\0' && !is_on_project(cfg, cfg->supabase.jwks_url)) {
        on_error("supabase.jwks_url", "must be a URL of supabase.url's", arg);
    }
    if (cfg->publish.secret[0] != '\0' && strlen(cfg->publish.secret) < SECRET_MIN_BYTES) {
        on_error("publish.secret", "must have at least 32 bytes: openssl rand -hex 32", arg);
    }
    if (cfg->supabase.forward_client_ip && cfg->supabase.service_key[0] == '\0') {
        on_error("supabase.forward_client_ip", "needs supabase.service_key", arg);
    }
    if (cfg->supabase.ca_file[0] != '\0' && access(cfg->supabase.ca_file, R_OK) != 0) {
        on_error("supabase.ca_file", "cannot be read", arg);
    }
    if (cfg->server.proxy_protocol && cfg->server.trusted_proxies.n == 0) {
        on_error("server.proxy_protocol", "needs server.trusted_proxies", arg);
    }
}
