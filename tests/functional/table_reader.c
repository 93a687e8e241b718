/* table_reader.c - realtime/reader and realtime/row alone, for their tests against PostgreSQL.
 *
 *   table_reader hash <pk,...>                                    records on stdin, one a line
 *   table_reader rows <origin> <apikey> <bearer> <table> <pk,...> <column,...> <page rows>
 *   table_reader keys <origin> <apikey> <bearer> <table> <pk,...> <pk text>...
 *
 * Prints "row <hash> <pk>" for each row, "key yes|no <pk>" for each key, and at the end of a read
 * "done <rc> <status> <pages> <message>". */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime/reader.h"
#include "realtime/row.h"
#include "realtime/table.h"
#include "upstream/client.h"
#include "util/json.h"

enum { MAX_NAMES = 16, LINE_MAX_BYTES = 1 << 20 };

struct app {
    struct tg_loop *loop;
    struct tg_table table;
    char **keys;
    unsigned n_pages;
};

static size_t split(const char *text, tg_str *names)
{
    tg_str rest = tg_str_of(text);
    size_t n = 0;

    while (rest.p != NULL && rest.n > 0 && n < MAX_NAMES) {
        names[n++] = tg_str_cut(&rest, ',');
    }
    return n;
}

static void print_row(const struct tg_table *table, tg_str record)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = LINE_MAX_BYTES};
    enum tg_rc rc = tg_row_pk(table, record, &pk);

    if (rc == TG_OK) {
        (void)printf("row %016" PRIx64 " %.*s\n", tg_row_hash(record),
                     TG_STR_ARG(tg_buf_view(&pk)));
    } else {
        (void)printf("bad %s\n", tg_rc_name(rc));
    }
}

static void hash_lines(const struct tg_table *table)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        print_row(table, tg_str_trim(tg_str_make(line, (size_t)n - 1)));
    }
    free(line);
}

static bool on_rows(tg_str rows, size_t n, void *arg)
{
    struct app *app = arg;
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    (void)n;
    app->n_pages++;
    while (tg_json_next(rows, &at, &name, &row) == TG_OK) {
        print_row(&app->table, row);
    }
    return true;
}

static void on_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct app *app = arg;

    (void)printf("done %s %u %u %.*s\n", tg_rc_name(rc), status, app->n_pages, TG_STR_ARG(message));
    tg_loop_stop(app->loop);
}

static void on_keys(enum tg_rc rc, unsigned status, const bool *is_visible, size_t n, void *arg)
{
    struct app *app = arg;

    for (size_t i = 0; is_visible != NULL && i < n; i++) {
        (void)printf("key %s %s\n", is_visible[i] ? "yes" : "no", app->keys[i]);
    }
    on_done(rc, status, TG_STR_NONE, app);
}

static enum tg_rc ask_keys(struct app *app, const struct tg_reader_opts *o, size_t n)
{
    tg_str *pks = tg_calloc(n, sizeof(*pks));
    struct tg_reader_keys *k = NULL;
    enum tg_rc rc = TG_OK;

    for (size_t i = 0; i < n; i++) {
        pks[i] = tg_str_of(app->keys[i]);
    }
    rc = tg_reader_keys(o, pks, n, on_keys, app, &k);
    free(pks);
    return rc;
}

static int run(struct app *app, int argc, char **argv)
{
    static const struct tg_reader_handler handler = {on_rows, on_done};
    const struct tg_upstream_opts client = {.origin = argv[2],
                                            .max_connections = 4,
                                            .max_waiting = 4,
                                            .connect_timeout = TG_SEC(10),
                                            .first_byte_timeout = TG_SEC(10),
                                            .idle_timeout = TG_SEC(10),
                                            .max_head_bytes = 65536,
                                            .send_buffer = 65536};
    tg_str columns[MAX_NAMES];
    struct tg_reader_opts o = {.loop = app->loop,
                               .apikey = tg_str_of(argv[3]),
                               .bearer = tg_str_of(argv[4]),
                               .table = &app->table,
                               .columns = columns};
    struct tg_reader *reader = NULL;
    enum tg_rc rc = tg_upstream_create(app->loop, &client, &o.upstream);

    if (rc == TG_OK && strcmp(argv[1], "keys") == 0) {
        app->keys = argv + 7;
        rc = ask_keys(app, &o, (size_t)(argc - 7));
    } else if (rc == TG_OK) {
        o.n_columns = split(argv[7], columns);
        o.page_rows = (unsigned)strtoul(argv[8], NULL, 10);
        rc = tg_reader_start(&o, &handler, app, &reader);
    }
    if (rc != TG_OK) {
        (void)printf("done %s 0 0 \n", tg_rc_name(rc));
        return 1;
    }
    tg_loop_run(app->loop);
    tg_upstream_destroy(o.upstream);
    return 0;
}

int main(int argc, char **argv)
{
    static tg_str pk[MAX_NAMES];
    struct app app = {.table = {.schema = TG_STR("public"), .pk = pk}};
    bool is_hash = argc == 3 && strcmp(argv[1], "hash") == 0;
    int code = 0;

    if (!is_hash && (argc < 8 || (strcmp(argv[1], "rows") == 0 && argc != 9))) {
        (void)fprintf(stderr, "usage: see the head of table_reader.c\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    app.table.n_pk = split(argv[is_hash ? 2 : 6], pk);
    if (is_hash) {
        hash_lines(&app.table);
        return 0;
    }
    app.table.name = tg_str_of(argv[5]);
    if (tg_loop_create("reader", 16, &app.loop) != TG_OK) {
        return 1;
    }
    code = run(&app, argc, argv);
    tg_loop_destroy(app.loop);
    return code;
}
