/* Which tokens are of one authorization class, and which are of one user. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/token.h"
#include "mint.h"
#include "util/buf.h"

#define HEAD "{\"iss\":\"i\",\"sub\":\"u\",\"role\":\"authenticated\",\"aal\":\"aal1\","
#define BASE HEAD "\"exp\":1790000001}"

static struct tg_token *token_of(const char *claims)
{
    static const struct tg_token_opts at_now = {.now = NOW};
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = mint_hs(claims);
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK, "%s", claims);
    free(text);
    tg_keys_unref(keys);
    return t;
}

static bool is_same_class(const char *claims_a, const char *claims_b)
{
    struct tg_token *a = token_of(claims_a);
    struct tg_token *b = token_of(claims_b);
    bool is_same = strcmp(a->class_id, b->class_id) == 0;

    tg_token_unref(a);
    tg_token_unref(b);
    return is_same;
}

static bool is_same_user(const char *claims_a, const char *claims_b)
{
    struct tg_token *a = token_of(claims_a);
    struct tg_token *b = token_of(claims_b);
    bool is_same = strcmp(a->user_id, b->user_id) == 0;

    tg_token_unref(a);
    tg_token_unref(b);
    return is_same;
}

Test(claims, that_change_with_every_token_do_not_change_the_class)
{
    cr_assert(is_same_class(BASE, HEAD "\"exp\":1790000999}"));
    cr_assert(is_same_class(BASE, HEAD "\"exp\":1790000001,\"iat\":1,\"nbf\":2,\"jti\":\"j\","
                                       "\"session_id\":\"s\"}"));
}

Test(claims, in_another_order_are_the_same_class)
{
    cr_assert(is_same_class(HEAD "\"exp\":1790000001,\"m\":{\"a\":1,\"b\":[2,{\"c\":3,\"d\":4}]}}",
                            "{\"m\":{\"b\":[2,{\"d\":4,\"c\":3}],\"a\":1},\"exp\":1790000001,"
                            "\"aal\":\"aal1\",\"role\":\"authenticated\",\"sub\":\"u\", "
                            "\"i\\u0073s\":\"i\"}"));
}

Test(claims, that_decide_access_make_another_class)
{
    static const char *const others[] = {
        "{\"iss\":\"i\",\"sub\":\"u\",\"role\":\"authenticated\",\"aal\":\"aal2\",\"exp\":"
        "1790000001}",
        "{\"iss\":\"i\",\"sub\":\"v\",\"role\":\"authenticated\",\"aal\":\"aal1\",\"exp\":"
        "1790000001}",
        "{\"iss\":\"k\",\"sub\":\"u\",\"role\":\"authenticated\",\"aal\":\"aal1\",\"exp\":"
        "1790000001}",
        "{\"iss\":\"i\",\"sub\":\"u\",\"role\":\"admin\",\"aal\":\"aal1\",\"exp\":1790000001}",
        HEAD "\"exp\":1790000001,\"client_id\":\"c\"}",
        HEAD "\"exp\":1790000001,\"app_metadata\":{\"org\":1}}",
        HEAD "\"exp\":1790000001,\"is_anonymous\":true}",
        HEAD "\"exp\":1790000001,\"meta\":{\"exp\":1}}",
        HEAD "\"exp\":1790000001,\"amr\":[]}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(others); i++) {
        cr_assert(!is_same_class(BASE, others[i]), "%s", others[i]);
    }
    cr_assert(!is_same_class(HEAD "\"exp\":1790000001,\"m\":{\"iat\":1}}",
                             HEAD "\"exp\":1790000001,\"m\":{\"iat\":2}}"));
}

Test(claims, amr_counts_without_its_times)
{
    const char *one =
        HEAD "\"exp\":1790000001,\"amr\":[{\"method\":\"password\",\"timestamp\":1}]}";
    const char *later =
        HEAD "\"exp\":1790000001,\"amr\":[{\"timestamp\":2,\"method\":\"password\"}]}";
    const char *totp = HEAD "\"exp\":1790000001,\"amr\":[{\"method\":\"totp\",\"timestamp\":1}]}";
    const char *plain = HEAD "\"exp\":1790000001,\"amr\":[\"password\"]}";
    const char *odd = HEAD "\"exp\":1790000001,\"amr\":{\"timestamp\":1}}";
    const char *odder = HEAD "\"exp\":1790000001,\"amr\":{\"timestamp\":2}}";

    cr_assert(is_same_class(one, later));
    cr_assert(!is_same_class(one, totp));
    cr_assert(!is_same_class(one, plain));
    cr_assert(!is_same_class(odd, odder));
}

Test(claims, issuer_and_sub_do_not_run_together)
{
    cr_assert(!is_same_user("{\"iss\":\"ab\",\"sub\":\"c\",\"exp\":1790000001}",
                            "{\"iss\":\"a\",\"sub\":\"bc\",\"exp\":1790000001}"));
    cr_assert(!is_same_user("{\"iss\":\"a:\",\"sub\":\"b\",\"exp\":1790000001}",
                            "{\"iss\":\"a\",\"sub\":\":b\",\"exp\":1790000001}"));
    cr_assert(!is_same_user("{\"iss\":\"a\",\"sub\":\"u\",\"exp\":1790000001}",
                            "{\"iss\":\"b\",\"sub\":\"u\",\"exp\":1790000001}"));
    cr_assert(is_same_user(BASE, HEAD "\"exp\":1790000009,\"x\":1}"));
}
