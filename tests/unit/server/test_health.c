/* --healthcheck against the real operator's port. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/admin.h"
#include "server/cli.h"
#include "server/health.h"
#include "util/clock.h"
#include "util/count.h"

static bool is_ready(struct tg_buf *reason, void *arg)
{
    (void)reason;
    return tg_count_get(arg) != 0;
}

static struct tg_admin *admin_on(const char *address, tg_count *ready)
{
    const struct tg_admin_opts opts = {
        .address = address, .version = "0", .is_ready = is_ready, .is_ready_arg = ready};
    struct tg_admin *admin = NULL;

    cr_assert_eq(tg_admin_start(&opts, &admin), TG_OK);
    return admin;
}

static enum tg_rc ask(const char *host, const struct tg_admin *admin)
{
    char listen[80];

    (void)snprintf(listen, sizeof(listen), "%s:%u", host, tg_admin_port(admin));
    return tg_health_ask(listen, TG_SEC(5));
}

Test(health, a_ready_gateway_is_told_from_one_that_is_not)
{
    tg_count ready = {0};
    struct tg_admin *admin = admin_on("127.0.0.1", &ready);

    cr_expect_eq(ask("127.0.0.1", admin), TG_ENOTREADY);
    tg_count_set(&ready, 1);
    cr_expect_eq(ask("127.0.0.1", admin), TG_OK);
    tg_admin_destroy(admin);
}

Test(health, a_port_on_all_interfaces_is_asked_on_the_loopback)
{
    tg_count ready = {0};
    struct tg_admin *admin = admin_on("0.0.0.0", &ready);

    tg_count_set(&ready, 1);
    cr_expect_eq(ask("0.0.0.0", admin), TG_OK);
    tg_admin_destroy(admin);
}

Test(health, nobody_there_is_no_answer)
{
    tg_count ready = {0};
    struct tg_admin *admin = admin_on("127.0.0.1", &ready);
    char listen[80];

    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", tg_admin_port(admin));
    tg_admin_destroy(admin);
    cr_expect_eq(tg_health_ask(listen, TG_SEC(5)), TG_EREFUSED);
}

Test(health, what_is_no_address_is_told)
{
    cr_expect_eq(tg_health_ask("127.0.0.1:0", TG_SEC(1)), TG_EBADPARAM);
    cr_expect_eq(tg_health_ask("localhost", TG_SEC(1)), TG_EBADPARAM);
}

Test(health, the_option_ends_with_0_for_ready_and_1_otherwise)
{
    tg_count ready = {0};
    struct tg_admin *admin = admin_on("127.0.0.1", &ready);
    const struct tg_cli cli = {.action = TG_CLI_HEALTHCHECK, .path = NULL};
    char listen[80];
    char url[] = "TIDEGATE_SUPABASE_URL=http://127.0.0.1:1";
    char key[] = "TIDEGATE_SUPABASE_ANON_KEY=a";
    char *environment[] = {listen, url, key, NULL};
    struct tg_config *cfg = NULL;
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};
    TG_CLEANUP(tg_buf_fini) struct tg_buf err = {.max = 4096};

    (void)snprintf(listen, sizeof(listen), "TIDEGATE_ADMIN_LISTEN=127.0.0.1:%u",
                   tg_admin_port(admin));
    cr_expect_eq(tg_cli_act(&cli, "0", environment, &cfg, &out, &err), TG_EXIT_FAILED);
    cr_expect(err.n > 0);
    cr_expect_eq(out.n, 0);
    tg_count_set(&ready, 1);
    cr_expect_eq(tg_cli_act(&cli, "0", environment, &cfg, &out, &err), TG_EXIT_OK);
    cr_expect_null(cfg);
    tg_admin_destroy(admin);
}
