/* condition_reader.c - realtime/where and realtime/template alone, for their tests against
 * PostgreSQL. Commands on stdin, one a line, an answer each:
 *
 *   where <conditions>             "query <parameters>" or "bad <why>"; holds for what follows
 *   rows <json array>              "rows " and for each row y, n or ? (not known)
 *   template <question>            "ok" or "bad <why>"; holds for what follows
 *   key <percent-encoded text>     "target <request target>" or "refused <rc>" */
#include <stdio.h>
#include <stdlib.h>

#include "realtime/template.h"
#include "realtime/where.h"
#include "util/json.h"

enum { TARGET_MAX_BYTES = 1 << 16 };

struct app {
    struct tg_where *where;
    struct tg_template *template;
};

static void set_where(struct app *app, tg_str text)
{
    const char *why = NULL;

    tg_where_destroy(app->where);
    app->where = NULL;
    if (tg_where_parse(text, &app->where, &why) == TG_OK) {
        (void)printf("query %.*s\n", TG_STR_ARG(tg_where_query(app->where)));
    } else {
        (void)printf("bad %s\n", why);
    }
}

static void judge_rows(const struct app *app, tg_str rows)
{
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    (void)printf("rows ");
    while (tg_json_next(rows, &at, &name, &row) == TG_OK) {
        bool is_known = false;
        bool matches = tg_where_matches(app->where, row, &is_known);

        (void)putchar(!is_known ? '?' : matches ? 'y' : 'n');
    }
    (void)putchar('\n');
}

static void set_template(struct app *app, tg_str text)
{
    const char *why = NULL;

    tg_template_destroy(app->template);
    app->template = NULL;
    if (tg_template_parse(text, &app->template, &why) == TG_OK) {
        (void)printf("ok\n");
    } else {
        (void)printf("bad %s\n", why);
    }
}

static void expand(const struct app *app, tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = TARGET_MAX_BYTES};
    char *key = tg_calloc(text.n + 1, 1);
    bool is_whole = false;
    size_t n = tg_str_unescape(text, false, key, &is_whole);
    enum tg_rc rc = TG_EBADPARAM;

    if (app->template != NULL && is_whole) {
        rc = tg_template_expand(app->template, tg_str_make(key, n), tg_str_make(key, n), &out);
    }
    if (rc == TG_OK) {
        (void)printf("target %.*s\n", TG_STR_ARG(tg_buf_view(&out)));
    } else {
        (void)printf("refused %s\n", tg_rc_name(rc));
    }
    free(key);
}

static void obey(struct app *app, tg_str line)
{
    tg_str word = tg_str_cut(&line, ' ');

    if (tg_str_eq(word, TG_STR("where"))) {
        set_where(app, line);
    } else if (tg_str_eq(word, TG_STR("rows"))) {
        judge_rows(app, line);
    } else if (tg_str_eq(word, TG_STR("template"))) {
        set_template(app, line);
    } else if (tg_str_eq(word, TG_STR("key"))) {
        expand(app, line);
    } else {
        (void)printf("unknown\n");
    }
}

int main(void)
{
    struct app app = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        obey(&app, tg_str_make(line, (size_t)n - (line[n - 1] == '\n' ? 1U : 0U)));
    }
    free(line);
    tg_where_destroy(app.where);
    tg_template_destroy(app.template);
    return 0;
}
