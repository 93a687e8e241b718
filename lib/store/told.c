/* told.c - results and verdicts as others are told them. */
#include "store/store.h"

const char *tg_verdict_word(enum tg_verdict v)
{
    switch (v) {
    case TG_RESET_EXPIRED:
        return "expired";
    case TG_RESET_EPOCH:
        return "epoch";
    case TG_RESET_GAP:
        return "gap";
    case TG_RESET_AHEAD:
        return "ahead";
    case TG_COMPLETE:
    default:
        return "";
    }
}

enum tg_rc tg_store_tell(enum tg_rc rc)
{
    bool is_inner = rc == TG_ETIMEDOUT || rc == TG_ECANCELED || rc == TG_ECLOSED ||
                    rc == TG_EEPOCH || rc == TG_EFENCED;

    return is_inner ? TG_ESTORE : rc;
}
