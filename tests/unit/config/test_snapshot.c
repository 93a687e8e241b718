/* Reload: what changes, what waits for a restart. */
#include <criterion/criterion.h>

#include "config/snapshot.h"
#include "given.h"

struct heard {
    unsigned n;
    unsigned n_live;
    char last[64];
};

static void on_change(const char *key, bool is_live, void *arg)
{
    struct heard *heard = arg;

    heard->n++;
    heard->n_live += is_live;
    cr_assert(strlen(key) < sizeof(heard->last));
    memcpy(heard->last, key, strlen(key) + 1);
}

/* The loaded configuration, taken out of `g`. */
static struct tg_config *take(struct given *g, const char *yaml)
{
    struct tg_config *cfg = NULL;

    given_project(g, yaml);
    cr_assert_eq(g->rc, TG_OK, "%s", tg_buf_cstr(&g->errors));
    cfg = g->cfg;
    g->cfg = NULL;
    given_fini(g);
    return cfg;
}

Test(snapshot, a_reload_changes_live_keys_and_keeps_the_others)
{
    struct given g;
    struct heard heard = {0};
    struct tg_snapshot *first =
        tg_snapshot_create(take(&g, "server:\n  workers: 2\n  trusted_proxies: ['::1', '::2']\n"));
    struct tg_snapshot *second = tg_snapshot_reload(
        first, take(&g, "server:\n  workers: 3\n  trusted_proxies: []\nlog:\n  level: debug\n"),
        on_change, &heard);

    cr_assert_eq(tg_snapshot_number(first), 1);
    cr_assert_eq(tg_snapshot_number(second), 2);
    cr_assert_eq(tg_snapshot_config(first)->log.level, TG_LOG_INFO);
    cr_assert_eq(tg_snapshot_config(second)->log.level, TG_LOG_DEBUG);
    cr_assert_eq(heard.n, 3);
    cr_assert_eq(heard.n_live, 1);
    tg_snapshot_unref(first);
    cr_assert_eq(tg_snapshot_config(second)->server.workers, 2);
    cr_assert_eq(tg_snapshot_config(second)->server.trusted_proxies.n, 2);
    cr_assert_str_eq(tg_snapshot_config(second)->server.trusted_proxies.items[1], "::2");
    tg_snapshot_unref(second);
}

Test(snapshot, a_reload_of_the_same_file_changes_nothing_not_even_the_random_name)
{
    struct given g;
    struct heard heard = {0};
    struct tg_snapshot *first = tg_snapshot_create(take(&g, ""));
    struct tg_snapshot *second = tg_snapshot_reload(first, take(&g, ""), on_change, &heard);

    cr_assert_eq(heard.n, 0, "%s", heard.last);
    cr_assert_str_eq(tg_snapshot_config(first)->gateway.id, tg_snapshot_config(second)->gateway.id);
    tg_snapshot_unref(first);
    tg_snapshot_unref(second);
}

Test(snapshot, a_changed_project_waits_for_a_restart_with_all_that_was_derived_from_it)
{
    static const char *const other[] = {"TIDEGATE_SUPABASE_URL=http://other",
                                        "TIDEGATE_SUPABASE_ANON_KEY=sb_publishable_x", NULL};
    struct given g;
    struct heard heard = {0};
    struct tg_snapshot *first = tg_snapshot_create(take(&g, ""));
    struct tg_snapshot *second = NULL;

    given_load(&g, NULL, other);
    second = tg_snapshot_reload(first, g.cfg, on_change, &heard);
    g.cfg = NULL;
    given_fini(&g);
    cr_assert_eq(heard.n, 1);
    cr_assert_str_eq(heard.last, "supabase.url");
    cr_assert_str_eq(tg_snapshot_config(second)->supabase.realtime_url,
                     "wss://abc.supabase.co/realtime/v1/websocket");
    tg_snapshot_unref(first);
    tg_snapshot_unref(second);
}

Test(snapshot, a_reference_keeps_the_configuration_alive)
{
    struct given g;
    struct tg_snapshot *s = tg_snapshot_create(take(&g, ""));
    struct tg_snapshot *held = tg_snapshot_ref(s);

    tg_snapshot_unref(s);
    cr_assert_str_eq(tg_snapshot_config(held)->supabase.url, "https://abc.supabase.co");
    tg_snapshot_unref(held);
    tg_snapshot_unref(NULL);
}
