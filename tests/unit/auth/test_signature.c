/* test_signature.c - what was signed with the secret, lately, and nothing else. */
#include <criterion/criterion.h>

#include "auth/signature.h"

#define SECRET TG_STR("0123456789abcdef0123456789abcdef")
#define TARGET TG_STR("/sync/v1/publish?topic=a:1")
#define BODY TG_STR("{\"type\":\"INSERT\"}")
#define AT TG_SEC(1732290000)
#define TOLERANCE TG_SEC(300)

/* printf '1732290000./sync/v1/publish?topic=a:1.{"type":"INSERT"}' |
 *     openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef */
#define GOOD "9ad9fcd4dbbee42a4366f91a327a47b9d95862d440837d63b419bc1354739bf8"
#define OTHER "0000000000000000000000000000000000000000000000000000000000000000"

static enum tg_rc check(const char *field)
{
    const struct tg_signed s = {tg_str_of(field), TARGET, BODY};

    return tg_signature_check(SECRET, &s, AT, TOLERANCE);
}

Test(signature, by_the_secret_is_good)
{
    cr_expect_eq(check("t=1732290000,v1=" GOOD), TG_OK);
    cr_expect_eq(check("t=1732290000, v1=" GOOD), TG_OK);
    cr_expect_eq(check("v0=abc,v1=" GOOD ",t=1732290000"), TG_OK, "other names are for later");
    cr_expect_eq(check("t=1732290000,v1=" OTHER ",v1=" GOOD), TG_OK, "a secret is being changed");
}

Test(signature, that_is_not_readable_is_none)
{
    static const char *const bad[] = {
        "",
        "t=1732290000",
        "v1=" GOOD,
        "t=1732290000,v1",
        "t=,v1=" GOOD,
        "t=x,v1=" GOOD,
        "t=-1,v1=" GOOD,
        "t=1732290000,t=1732290000,v1=" GOOD,
        "t=1732290000,v1=" OTHER,
        "t=1732290000,v1=" GOOD "0",
        "t=1732290000,v1=",
        "t=1732290001,v1=" GOOD,
        "t=01732290000,v1=" GOOD,
        "t=1732290000,V1=" GOOD,
        "t=1732290000,v1=0,v1=0,v1=0,v1=0,v1=0,v1=0,v1=0,v1=0,v1=" GOOD,
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_expect_eq(check(bad[i]), TG_EBADSIGNATURE, "%s", bad[i]);
    }
}

Test(signature, holds_for_this_target_body_and_secret)
{
    const tg_str field = TG_STR("t=1732290000,v1=" GOOD);
    const struct tg_signed target = {field, TG_STR("/sync/v1/publish?topic=a:2"), BODY};
    const struct tg_signed body = {field, TARGET, TG_STR("{\"type\":\"DELETE\"}")};
    const struct tg_signed same = {field, TARGET, BODY};

    cr_expect_eq(tg_signature_check(SECRET, &target, AT, TOLERANCE), TG_EBADSIGNATURE);
    cr_expect_eq(tg_signature_check(SECRET, &body, AT, TOLERANCE), TG_EBADSIGNATURE);
    cr_expect_eq(tg_signature_check(TG_STR("another"), &same, AT, TOLERANCE), TG_EBADSIGNATURE);
}

Test(signature, holds_for_a_while)
{
    const struct tg_signed s = {TG_STR("t=1732290000,v1=" GOOD), TARGET, BODY};

    cr_expect_eq(tg_signature_check(SECRET, &s, AT + TG_SEC(300), TOLERANCE), TG_OK);
    cr_expect_eq(tg_signature_check(SECRET, &s, AT - TG_SEC(300), TOLERANCE), TG_OK);
    cr_expect_eq(tg_signature_check(SECRET, &s, AT + TG_SEC(301), TOLERANCE), TG_EEXPIRED);
    cr_expect_eq(tg_signature_check(SECRET, &s, AT - TG_SEC(301), TOLERANCE), TG_EEXPIRED);
}
