/* Every type's forms and bounds. */
#include <criterion/criterion.h>

#include "config/value.h"

struct value_case {
    const char *key;
    const char *text;
    const char *rendered; /* NULL: refused */
};

static void check(const struct value_case *c)
{
    const struct tg_config_key *key = tg_config_key_get(c->key);
    struct tg_config cfg = {0};
    struct tg_buf out;
    enum tg_rc rc = tg_value_set(key, &cfg, tg_str_of(c->text));

    tg_buf_init(&out, 4096);
    if (c->rendered == NULL) {
        cr_expect_eq(rc, TG_EBADPARAM, "%s takes \"%s\"", c->key, c->text);
    } else {
        cr_expect_eq(rc, TG_OK, "%s refuses \"%s\"", c->key, c->text);
    }
    if (rc == TG_OK && c->rendered != NULL) {
        tg_value_render(key, &cfg, &out);
        cr_expect_str_eq(tg_buf_cstr(&out), c->rendered, "%s: \"%s\"", c->key, c->text);
    }
    tg_buf_fini(&out);
    tg_arena_drop(&cfg.arena);
}

static void check_all(const struct value_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check(&cases[i]);
    }
}

#define CHECK(...)                                                                                 \
    check_all((const struct value_case[]){__VA_ARGS__},                                            \
              sizeof((const struct value_case[]){__VA_ARGS__}) / sizeof(struct value_case))

Test(value, numbers_keep_to_their_bounds)
{
    CHECK({"server.workers", "0", "0"}, {"server.workers", "256", "256"},
          {"server.workers", "257", NULL}, {"server.workers", "-1", NULL},
          {"server.workers", "", NULL}, {"server.workers", "1x", NULL},
          {"server.workers", "0x10", NULL}, {"server.workers", "4294967297", NULL},
          {"server.workers", "99999999999999999999999", NULL}, {"limits.fields", "15", NULL},
          {"limits.fields", "16", "16"});
}

Test(value, switches_are_on_or_off)
{
    CHECK({"upstream.http2", "on", "on"}, {"upstream.http2", "true", "on"},
          {"upstream.http2", "off", "off"}, {"upstream.http2", "false", "off"},
          {"upstream.http2", "1", NULL}, {"upstream.http2", "", NULL},
          {"upstream.http2", "On", NULL});
}

Test(value, durations_need_a_unit_and_keep_to_their_bounds)
{
    CHECK({"timeouts.head", "10s", "10s"}, {"timeouts.head", "1500ms", "1500ms"},
          {"timeouts.head", "60s", "1m"}, {"timeouts.head", "100ms", "100ms"},
          {"timeouts.head", "99ms", NULL}, {"timeouts.head", "5m", "5m"},
          {"timeouts.head", "301s", NULL}, {"timeouts.head", "10", NULL},
          {"timeouts.head", "10 s", NULL}, {"timeouts.head", "s", NULL},
          {"timeouts.head", "10S", NULL}, {"server.drain_timeout", "0", "0"},
          {"server.drain_timeout", "0s", "0"}, {"store.retain_for", "168h", "7d"},
          {"store.retain_for", "18446744073709551615d", NULL});
}

Test(value, sizes_know_k_m_and_g)
{
    CHECK({"limits.target_bytes", "8k", "8k"}, {"limits.target_bytes", "8191", NULL},
          {"limits.target_bytes", "8192", "8k"}, {"limits.target_bytes", "10000", "10000"},
          {"limits.target_bytes", "65537", NULL}, {"limits.target_bytes", "8K", NULL},
          {"limits.target_bytes", "8kb", NULL}, {"limits.body_bytes", "0", "0"},
          {"limits.body_bytes", "2048m", "2g"}, {"limits.body_bytes", "1025g", NULL},
          {"limits.body_bytes", "99999999999999g", NULL});
}

Test(value, addresses_are_numeric_with_a_port)
{
    CHECK({"server.listen", "0.0.0.0:8080", "0.0.0.0:8080"}, {"server.listen", "[::]:0", "[::]:0"},
          {"server.listen", "[::1]:65535", "[::1]:65535"}, {"server.listen", "127.0.0.1", NULL},
          {"server.listen", "127.0.0.1:", NULL}, {"server.listen", "127.0.0.1:65536", NULL},
          {"server.listen", "127.0.0.1:000080", NULL}, {"server.listen", "localhost:80", NULL},
          {"server.listen", "::1:80", NULL}, {"server.listen", "[::1]", NULL},
          {"server.listen", "[::1]80", NULL}, {"server.listen", "[127.0.0.1]:80", NULL},
          {"server.listen", ":80", NULL}, {"server.listen", "", NULL});
}

Test(value, the_project_is_an_origin_and_loses_its_slash)
{
    CHECK({"supabase.url", "https://abc.supabase.co", "https://abc.supabase.co"},
          {"supabase.url", "http://127.0.0.1:54321/", "http://127.0.0.1:54321"},
          {"supabase.url", "http://[::1]:80", "http://[::1]:80"},
          {"supabase.url", "https://abc.supabase.co/x", NULL},
          {"supabase.url", "https://abc.supabase.co?x", NULL},
          {"supabase.url", "https://user@abc.supabase.co", NULL},
          {"supabase.url", "abc.supabase.co", NULL}, {"supabase.url", "ftp://abc", NULL},
          {"supabase.url", "https://", NULL}, {"supabase.url", "https://a b", NULL},
          {"supabase.url", "https://abc:0", NULL}, {"supabase.url", "https://abc:99999", NULL},
          {"supabase.url", "https:/abc", NULL}, {"supabase.url", "", NULL});
}

Test(value, other_urls_keep_their_paths_and_schemes)
{
    CHECK({"supabase.jwks_url", "https://a.b/c/d.json", "https://a.b/c/d.json"},
          {"supabase.jwks_url", "", ""}, {"supabase.jwks_url", "ws://a.b/c", NULL},
          {"supabase.realtime_url", "wss://a.b/socket", "wss://a.b/socket"},
          {"supabase.realtime_url", "https://a.b/socket", NULL},
          {"store.url", "redis://u:p@h:6379/0", "redis://u:p@h:6379/0"},
          {"store.url", "redis://h", "redis://h"},
          {"store.url", "unix:/run/redis.sock", "unix:/run/redis.sock"},
          {"store.url", "unix:redis", NULL}, {"store.url", "rediss://h", NULL},
          {"store.url", "h:6379", NULL});
}

Test(value, lists_check_every_entry)
{
    CHECK({"server.trusted_proxies", "10.0.0.0/8, ::1,fd00::/8", "10.0.0.0/8,::1,fd00::/8"},
          {"server.trusted_proxies", "", ""}, {"server.trusted_proxies", "10.0.0.0/33", NULL},
          {"server.trusted_proxies", "::1/129", NULL}, {"server.trusted_proxies", "10.0.0/8", NULL},
          {"server.trusted_proxies", "10.0.0.0/", NULL}, {"server.trusted_proxies", "::1,", NULL},
          {"server.trusted_proxies", ",", NULL}, {"cors.origins", "*", "*"},
          {"cors.origins", "https://app.example.com,capacitor://localhost",
           "https://app.example.com,capacitor://localhost"},
          {"cors.origins", "https://App.example.com", NULL},
          {"cors.origins", "https://app.example.com/", NULL},
          {"cors.origins", "app.example.com", NULL},
          {"strict.tables", "public.a,chat.b", "public.a,chat.b"}, {"strict.tables", "a", NULL},
          {"strict.tables", ".a", NULL}, {"strict.tables", "a.", NULL});
}

Test(value, lists_keep_to_their_number_of_entries)
{
    char text[65 * 4];

    for (size_t i = 0; i < 65; i++) {
        memcpy(text + 4 * i, "::1,", 4);
    }
    text[64 * 4 - 1] = '\0';
    check(&(struct value_case){"server.trusted_proxies", text, text});
    text[64 * 4 - 1] = ',';
    text[65 * 4 - 1] = '\0';
    check(&(struct value_case){"server.trusted_proxies", text, NULL});
}

Test(value, texts_are_printable_and_short_enough)
{
    char text[66];

    memset(text, 'a', sizeof(text) - 1);
    text[65] = '\0';
    check(&(struct value_case){"gateway.id", text, NULL});
    text[64] = '\0';
    check(&(struct value_case){"gateway.id", text, text});
    CHECK({"gateway.id", "edge-1.b_c", "edge-1.b_c"}, {"gateway.id", "edge 1", NULL},
          {"store.prefix", "", NULL}, {"supabase.jwt_secret", "a\nb", NULL},
          {"supabase.jwt_secret", "a\x7f", NULL}, {"supabase.jwt_secret", "\xff", NULL},
          {"supabase.jwt_secret",
           "s\xc3\xa9"
           "cret",
           "s\xc3\xa9"
           "cret"});
}

Test(value, choices_are_one_of_their_words)
{
    CHECK({"auth.verify_rest", "off", "off"}, {"auth.verify_rest", "verify", "verify"},
          {"auth.verify_rest", "require", "require"}, {"auth.verify_rest", "on", NULL},
          {"log.level", "debug", "debug"}, {"log.level", "error", "error"},
          {"log.level", "trace", NULL});
}

Test(value, a_refused_value_changes_nothing)
{
    struct tg_config cfg = {.server = {.workers = 7}};

    cr_assert_eq(tg_value_set(tg_config_key_get("server.workers"), &cfg, TG_STR("999")),
                 TG_EBADPARAM);
    cr_assert_eq(cfg.server.workers, 7);
}

Test(value, the_members_hold_milliseconds_and_bytes)
{
    struct tg_config cfg = {0};

    cr_assert_eq(tg_value_set(tg_config_key_get("timeouts.head"), &cfg, TG_STR("2s")), TG_OK);
    cr_assert_eq(tg_value_set(tg_config_key_get("limits.head_bytes"), &cfg, TG_STR("64k")), TG_OK);
    cr_assert_eq(tg_value_set(tg_config_key_get("log.level"), &cfg, TG_STR("warn")), TG_OK);
    cr_assert_eq(cfg.timeouts.head_ms, 2000);
    cr_assert_eq(cfg.limits.head_bytes, 65536);
    cr_assert_eq(cfg.log.level, TG_LOG_WARN);
}

Test(value, what_is_allowed_is_said_with_its_bounds)
{
    static const char *const cases[][2] = {
        {"server.workers", "a whole number from 0 to 256"},
        {"timeouts.head", "a duration (units ms, s, m, h, d) from 100ms to 5m"},
        {"auth.verify_rest", "off, verify or require"},
        {"log.level", "debug, info, warn or error"},
        {"upstream.http2", "on or off"},
        {"strict.tables", "tables, as schema.table, 0 to 1000 entries"},
        {"supabase.jwt_secret", "printable text, at most 1024 bytes, or empty"},
        {"store.prefix", "letters, digits, dot, dash and underscore, 1 to 64 bytes"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tg_buf out;

        tg_buf_init(&out, 1024);
        tg_value_describe(tg_config_key_get(cases[i][0]), &out);
        cr_expect_str_eq(tg_buf_cstr(&out), cases[i][1]);
        tg_buf_fini(&out);
    }
}

Test(value, reads_durations_and_writes_them_the_same_way)
{
    static const char *const good[] = {"0", "5ms", "90s", "1m", "7d"};
    static const char *const bad[] = {"", "5", "1.5s", "-1s", "1 s", "1w", "s"};
    uint64_t ms = 0;

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        struct tg_buf out = {.max = 64};

        cr_assert_eq(tg_value_duration(tg_str_of(good[i]), &ms), TG_OK, "%s", good[i]);
        tg_value_put_duration(ms, &out);
        cr_expect_str_eq(tg_buf_cstr(&out), good[i]);
        tg_buf_fini(&out);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_expect_eq(tg_value_duration(tg_str_of(bad[i]), &ms), TG_EBADPARAM, "%s", bad[i]);
    }
}
