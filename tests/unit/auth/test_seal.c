/* Sealed texts. */
#include <criterion/criterion.h>

#include "auth/seal.h"

#define SECRET TG_STR("0123456789abcdef0123456789abcdef")
#define OTHER TG_STR("0123456789abcdef0123456789abcdeg")

enum { EXPIRES = 1000, BEFORE = 999, MAX = 4096 };

static struct tg_buf sealed(const struct tg_seal *s, tg_str text)
{
    struct tg_buf out = {.max = MAX};

    cr_assert_eq(tg_seal_wrap(s, text, EXPIRES, &out), TG_OK);
    return out;
}

static enum tg_rc unsealed(const struct tg_seal *s, tg_str text, tg_usec now)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX};
    enum tg_rc rc = tg_seal_unwrap(s, text, now, &out);

    cr_assert(rc == TG_OK || out.n == 0);
    return rc;
}

Test(seal, gives_back_what_was_put_in_until_it_expires)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf empty = sealed(s, TG_STR(""));
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = sealed(s, TG_STR("who am I"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf back = {.max = MAX};

    cr_assert_eq(text.n, TG_SEAL_CHARS(8));
    cr_assert_eq(tg_seal_unwrap(s, tg_buf_view(&text), BEFORE, &back), TG_OK);
    cr_assert(tg_str_eq(tg_buf_view(&back), TG_STR("who am I")));
    cr_assert_eq(unsealed(s, tg_buf_view(&empty), 0), TG_OK);
    cr_assert_eq(unsealed(s, tg_buf_view(&text), EXPIRES), TG_EEXPIRED);
    tg_seal_destroy(s);
    tg_seal_destroy(NULL);
}

Test(seal, is_another_text_every_time)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf a = sealed(s, TG_STR("same"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = sealed(s, TG_STR("same"));

    cr_assert_not(tg_str_eq(tg_buf_view(&a), tg_buf_view(&b)));
    tg_seal_destroy(s);
}

Test(seal, opens_at_every_gateway_with_the_secret_and_for_its_purpose_only)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    struct tg_seal *same = tg_seal_create(SECRET, TG_STR("ticket"));
    struct tg_seal *purpose = tg_seal_create(SECRET, TG_STR("control"));
    struct tg_seal *secret = tg_seal_create(OTHER, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = sealed(s, TG_STR("mine"));

    cr_assert_eq(unsealed(same, tg_buf_view(&text), 0), TG_OK);
    cr_assert_eq(unsealed(purpose, tg_buf_view(&text), 0), TG_EBADTOKEN);
    cr_assert_eq(unsealed(secret, tg_buf_view(&text), 0), TG_EBADTOKEN);
    tg_seal_destroy(s);
    tg_seal_destroy(same);
    tg_seal_destroy(purpose);
    tg_seal_destroy(secret);
}

Test(seal, notices_every_changed_character)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = sealed(s, TG_STR("tamper with me"));

    for (size_t i = 0; i < text.n; i++) {
        char was = text.p[i];

        text.p[i] = was == 'A' ? 'B' : 'A';
        cr_assert_eq(unsealed(s, tg_buf_view(&text), 0), TG_EBADTOKEN, "at %zu", i);
        text.p[i] = was;
    }
    cr_assert_eq(unsealed(s, tg_buf_view(&text), 0), TG_OK);
    tg_seal_destroy(s);
}

Test(seal, notices_every_cut_and_whatever_is_no_base64url)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = sealed(s, TG_STR("cut me short"));

    for (size_t n = 0; n < text.n; n++) {
        cr_assert_eq(unsealed(s, tg_str_make(text.p, n), 0), TG_EBADTOKEN, "%zu", n);
    }
    cr_assert_eq(tg_buf_str(&text, TG_STR("AAAA")), TG_OK);
    cr_assert_eq(unsealed(s, tg_buf_view(&text), 0), TG_EBADTOKEN);
    cr_assert_eq(unsealed(s, TG_STR("not base64url!"), 0), TG_EBADTOKEN);
    tg_seal_destroy(s);
}

Test(seal, is_bounded_by_the_buffer_and_by_itself)
{
    struct tg_seal *s = tg_seal_create(SECRET, TG_STR("ticket"));
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = sealed(s, TG_STR("rather long"));
    struct tg_buf small = {.max = 8};
    char *big = tg_calloc(1, 128 * 1024);

    cr_assert_eq(tg_seal_wrap(s, TG_STR("x"), EXPIRES, &small), TG_ELIMIT);
    tg_buf_fini(&small);
    small = (struct tg_buf){.max = 4};
    cr_assert_eq(tg_seal_unwrap(s, tg_buf_view(&text), 0, &small), TG_ELIMIT);
    cr_assert_eq(tg_seal_wrap(s, tg_str_make(big, 128 * 1024), EXPIRES, &small), TG_ELIMIT);
    memset(big, 'A', 128 * 1024);
    cr_assert_eq(unsealed(s, tg_str_make(big, 128 * 1024), 0), TG_EBADTOKEN);
    free(big);
    tg_buf_fini(&small);
    tg_seal_destroy(s);
}
