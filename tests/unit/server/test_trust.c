/* test_trust.c - which peers a list of networks holds. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "server/trust.h"

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&ss;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else {
        cr_assert_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
    }
    return ss;
}

static bool has(const char *network, const char *address)
{
    struct tg_trust *t = tg_trust_create(&network, 1);
    const struct sockaddr_storage ss = peer(address);
    bool found = tg_trust_has(&ss, t);

    tg_trust_destroy(t);
    return found;
}

Test(trust, holds_what_lies_inside_a_network)
{
    cr_assert(has("10.0.0.0/8", "10.255.1.2"));
    cr_assert(has("192.168.4.0/22", "192.168.7.255"));
    cr_assert(has("127.0.0.1", "127.0.0.1"));
    cr_assert(has("0.0.0.0/0", "203.0.113.9"));
    cr_assert(has("2001:db8::/33", "2001:db8:7fff::1"));
    cr_assert(has("::1", "::1"));
}

Test(trust, does_not_hold_what_lies_outside)
{
    cr_assert_not(has("10.0.0.0/8", "11.0.0.1"));
    cr_assert_not(has("192.168.4.0/22", "192.168.8.0"));
    cr_assert_not(has("127.0.0.1", "127.0.0.2"));
    cr_assert_not(has("2001:db8::/33", "2001:db8:8000::1"));
    cr_assert_not(has("0.0.0.0/0", "2001:db8::1"));
}

Test(trust, takes_an_ipv4_address_inside_ipv6_for_what_it_is)
{
    cr_assert(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    cr_assert_not(has("10.0.0.0/8", "::ffff:11.1.2.3"));
}

Test(trust, an_empty_list_trusts_nobody)
{
    struct tg_trust *t = tg_trust_create(NULL, 0);
    const struct sockaddr_storage ss = peer("127.0.0.1");

    cr_assert_not(tg_trust_has(&ss, t));
    tg_trust_destroy(t);
}
