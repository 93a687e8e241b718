/* test_redis_url.c - where Redis is, as an operator writes it. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>

#include "store/redis_url.h"

static struct tg_redis_url u;

static void free_url(void)
{
    tg_redis_url_fini(&u);
}

TestSuite(redis_url, .fini = free_url);

static enum tg_rc parse(const char *text)
{
    tg_redis_url_fini(&u);
    return tg_redis_url_parse(tg_str_of(text), &u);
}

Test(redis_url, a_host_alone_has_the_usual_port)
{
    cr_assert_eq(parse("redis://127.0.0.1"), TG_OK);
    cr_assert_str_eq(u.host, "127.0.0.1");
    cr_assert_eq(u.port, 6379);
    cr_assert_eq(u.db, 0);
    cr_assert(u.is_numeric);
    cr_assert_null(u.password);
}

Test(redis_url, all_parts_are_read_and_decoded)
{
    cr_assert_eq(parse("redis://me:p%40ss%3a@cache.internal:6380/3"), TG_OK);
    cr_assert_str_eq(u.user, "me");
    cr_assert_str_eq(u.password, "p@ss:");
    cr_assert_str_eq(u.host, "cache.internal");
    cr_assert_eq(u.port, 6380);
    cr_assert_eq(u.db, 3);
    cr_assert_not(u.is_numeric);
}

Test(redis_url, a_password_needs_no_user)
{
    cr_assert_eq(parse("redis://:secret@[::1]:1/0"), TG_OK);
    cr_assert_null(u.user);
    cr_assert_str_eq(u.password, "secret");
    cr_assert_str_eq(u.host, "::1");
    cr_assert_eq(u.port, 1);
    cr_assert(u.is_numeric);
}

Test(redis_url, a_socket_is_a_path)
{
    cr_assert_eq(parse("unix:/run/redis.sock?db=2"), TG_OK);
    cr_assert_str_eq(u.path, "/run/redis.sock");
    cr_assert_eq(u.db, 2);
    cr_assert_null(u.host);
}

Test(redis_url, what_is_not_understood_is_refused)
{
    static const char *const bad[] = {"",
                                      "redis://",
                                      "redis://:1",
                                      "redis://h:",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:1x",
                                      "redis://h/x",
                                      "redis://user@h",
                                      "redis://a:%zz@h",
                                      "redis://a:%4@h",
                                      "redis://a:%00@h",
                                      "redis://[::1",
                                      "redis://[::1]x",
                                      "unix:",
                                      "unix:relative",
                                      "unix:/a?x=1",
                                      "http://h",
                                      "h:6379",
                                      "redis://h/-1"};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        enum tg_rc rc = parse(bad[i]);

        cr_assert_eq(rc, TG_EBADPARAM, "%s: %s", bad[i], tg_rc_name(rc));
    }
    cr_assert_eq(parse("rediss://h"), TG_EUNSUPPORTED);
}

static void on_resolved(struct tg_mail *mail, void *owner)
{
    struct tg_resolved *found = TG_CONTAINER_OF(mail, struct tg_resolved, mail);

    (void)snprintf(owner, 64, "%s", found->address);
    mail->drop(mail);
}

Test(redis_url, a_name_is_resolved_on_another_thread)
{
    struct tg_port *port = NULL;
    struct pollfd wait = {.events = POLLIN};
    char address[64] = "";

    cr_assert_eq(parse("redis://localhost"), TG_OK);
    cr_assert_not(u.is_numeric);
    cr_assert_eq(tg_port_create(4, &port), TG_OK);
    cr_assert_eq(tg_redis_resolve(&u, 3, port, on_resolved), TG_OK);
    wait.fd = tg_mailbox_fd(port->box);
    cr_assert_eq(poll(&wait, 1, 10000), 1);
    cr_assert_eq(tg_mailbox_drain(port->box, address), 1);
    cr_assert(strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0, "%s", address);
    tg_port_unref(port);
}

Test(redis_url, an_answer_that_nobody_waits_for_is_dropped)
{
    struct tg_port *port = NULL;

    cr_assert_eq(parse("redis://localhost"), TG_OK);
    cr_assert_eq(tg_port_create(4, &port), TG_OK);
    cr_assert_eq(tg_redis_resolve(&u, 3, port, on_resolved), TG_OK);
    tg_mailbox_close(port->box);
    tg_port_unref(port);
}
