/* test_rc.c - the table of results. */
#include <criterion/criterion.h>
#include <string.h>

#include "util/rc.h"

Test(rc, every_result_has_a_name_a_text_and_a_valid_status)
{
    for (int rc = 0; rc < TG_RC_MAX; rc++) {
        cr_assert_eq(strncmp(tg_rc_name((enum tg_rc)rc), "TG_", 3), 0);
        cr_assert_neq(tg_rc_text((enum tg_rc)rc)[0], '\0');
        cr_assert(tg_rc_status((enum tg_rc)rc) >= 200 && tg_rc_status((enum tg_rc)rc) < 600);
    }
}

Test(rc, codes_are_unique_for_clients_tell_errors_apart_by_them)
{
    for (int a = 0; a < TG_RC_MAX; a++) {
        cr_assert_eq(strlen(tg_rc_code((enum tg_rc)a)), 5);
        for (int b = 0; b < a; b++) {
            cr_assert_str_neq(tg_rc_code((enum tg_rc)a), tg_rc_code((enum tg_rc)b));
        }
    }
}

Test(rc, a_number_outside_the_table_is_an_internal_error)
{
    cr_assert_str_eq(tg_rc_name((enum tg_rc)9999), "TG_EINTERNAL");
    cr_assert_eq(tg_rc_status(TG_RC_MAX), 500);
}

Test(rc, what_only_the_client_can_mend_is_not_to_be_tried_again)
{
    cr_assert_not(tg_rc_is_retryable(TG_EBADTOKEN));
    cr_assert_not(tg_rc_is_retryable(TG_EBADREQ));
    cr_assert(tg_rc_is_retryable(TG_ESTORE));
    cr_assert(tg_rc_is_retryable(TG_ERATE));
}
