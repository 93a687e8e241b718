/* rc.c - the table of results as data. */
#include "util/rc.h"

struct rc_row {
    const char *name;
    const char *code;
    const char *text;
    unsigned status;
    bool retryable;
};

static const struct rc_row rows[TG_RC_MAX] = {
#define TG_RC_ROW(name, code, status, retry, text) [name] = {#name, code, text, status, retry},
    TG_RC_TABLE(TG_RC_ROW)
#undef TG_RC_ROW
};

static const struct rc_row *row_of(enum tg_rc rc)
{
    return (unsigned)rc < TG_RC_MAX ? &rows[rc] : &rows[TG_EINTERNAL];
}

const char *tg_rc_name(enum tg_rc rc)
{
    return row_of(rc)->name;
}

const char *tg_rc_code(enum tg_rc rc)
{
    return row_of(rc)->code;
}

const char *tg_rc_text(enum tg_rc rc)
{
    return row_of(rc)->text;
}

unsigned tg_rc_status(enum tg_rc rc)
{
    return row_of(rc)->status;
}

bool tg_rc_is_retryable(enum tg_rc rc)
{
    return row_of(rc)->retryable;
}
