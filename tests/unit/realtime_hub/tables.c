/* tables.c - the tables of a hub under test: what is declared, reads that go on by hand, and the
 * stored index. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime_hub/world.h"

/* ---- what is declared ---- */

static const tg_str ID[] = {TG_STR_INIT("id")};
static const tg_str PAIR[] = {TG_STR_INIT("trip_id"), TG_STR_INIT("user_id")};
static const tg_str COLUMNS[] = {TG_STR_INIT("id"), TG_STR_INIT("trip_id"), TG_STR_INIT("n")};
static const struct tg_table CHAT = {TG_STR_INIT("public"), TG_STR_INIT("chat"), ID, 1, {0}};
static const struct tg_table TASKS = {TG_STR_INIT("public"), TG_STR_INIT("tasks"), ID, 1, {0}};
static const struct tg_table MEMBERS = {
    TG_STR_INIT("public"), TG_STR_INIT("members"), PAIR, 2, {0}};

static const struct tg_table KEPT = {TG_STR_INIT("public"), TG_STR_INIT("kept"), ID, 1,
                                     TG_STR_INIT("at")};

static struct tg_declared declared[3];
static struct tg_where *is_there;

const struct tg_declared_list *world_topics(void)
{
    static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};

    declared[0] =
        (struct tg_declared){.name = TG_STR("notes"), .key_type = TG_KEY_TEXT, .is_public = true};
    return &list;
}

const struct tg_table_list *world_tables(void)
{
    static const struct tg_table_list list = {&KEPT, 1};

    return &list;
}

static struct tg_declared table_topic(tg_str name, const struct tg_table *table)
{
    return (struct tg_declared){
        .name = name,
        .key_type = TG_KEY_TEXT,
        .is_public = true,
        .revoke_on = {.table = &MEMBERS, .key = TG_STR("trip_id"), .user = TG_STR("user_id")},
        .table = table,
        .key = TG_STR("trip_id"),
        .columns = COLUMNS,
        .n_columns = TG_ARRAY_LEN(COLUMNS),
        .where = is_there};
}

void start_tables(void)
{
    const char *why = NULL;

    if (is_there == NULL) { /* a test may start twice */
        cr_assert_eq(tg_where_parse(TG_STR("gone=is.null"), &is_there, &why), TG_OK);
    }
    declared[1] = table_topic(TG_STR("chat"), &CHAT);
    declared[2] = table_topic(TG_STR("task"), &TASKS);
    declared[2].catchup = TG_STR("updated_at");
    start_with(world_topics());
    world.tells_json = true;
    world.holds_reads = true;
}

/* ---- reads ---- */

enum tg_rc tg_upstream_create(struct tg_loop *l, const struct tg_upstream_opts *opts,
                              struct tg_upstream **ret_up)
{
    (void)l;
    (void)opts;
    *ret_up = NULL;
    return TG_OK;
}

void tg_upstream_destroy(struct tg_upstream *up)
{
    (void)up;
}

enum tg_rc tg_reader_start(const struct tg_reader_opts *o, const struct tg_reader_handler *h,
                           void *arg, struct tg_reader **ret_reader)
{
    for (size_t i = 0; i < MAX_READS && world.read_rc == TG_OK; i++) {
        struct tg_reader *r = &world.reads[i];

        if (r->is_on) {
            continue;
        }
        *r = (struct tg_reader){.h = h, .arg = arg, .is_on = true};
        (void)snprintf(r->table, sizeof(r->table), "%.*s", TG_STR_ARG(o->table->name));
        (void)snprintf(r->filter, sizeof(r->filter), "%.*s", TG_STR_ARG(o->filter));
        (void)snprintf(r->columns, sizeof(r->columns), "%.*s",
                       TG_STR_ARG(o->n_columns > 0 ? o->columns[0] : TG_STR("")));
        (void)snprintf(r->bearer, sizeof(r->bearer), "%.*s", TG_STR_ARG(o->bearer));
        *ret_reader = r;
        return TG_OK;
    }
    return world.read_rc == TG_OK ? TG_EBUSY : world.read_rc;
}

void tg_reader_resume(struct tg_reader *r)
{
    r->is_held = false;
}

void tg_reader_cancel(struct tg_reader *r)
{
    if (r != NULL) {
        r->is_on = false;
    }
}

struct tg_reader *read_of(const char *table)
{
    for (size_t i = 0; i < MAX_READS; i++) {
        if (world.reads[i].is_on && strcmp(world.reads[i].table, table) == 0) {
            return &world.reads[i];
        }
    }
    return NULL;
}

void read_rows(const char *table, const char *rows)
{
    struct tg_reader *r = read_of(table);

    cr_assert_not_null(r, "nobody reads %s", table);
    cr_assert_not(r->is_held);
    r->is_held = !r->h->on_rows(tg_str_of(rows), 1, r->arg);
    turn();
}

void read_ends(const char *table, enum tg_rc rc)
{
    struct tg_reader *r = read_of(table);

    cr_assert_not_null(r, "nobody reads %s", table);
    cr_assert_not(r->is_held);
    r->is_on = false;
    r->h->on_done(rc, 200, TG_STR(""), r->arg);
    turn();
}

bool end_read(void)
{
    for (size_t i = 0; i < MAX_READS; i++) {
        if (world.reads[i].is_on) {
            world.reads[i].is_on = false;
            world.reads[i].h->on_done(TG_OK, 200, TG_STR(""), world.reads[i].arg);
            return true;
        }
    }
    return false;
}

void row_changes(uint64_t id, const char *type, const char *row)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "{\"data\":{\"type\":\"%s\",\"commit_timestamp\":null,\"%s\":%s,\"errors\":%s}}",
                   type, strcmp(type, "DELETE") == 0 ? "old_record" : "record", row,
                   strstr(row, "cut") == NULL ? "null" : "[\"Error 413: Payload Too Large\"]");
    world.link.on_change(id, tg_str_of(text), world.link_arg);
    turn();
}

void row_key_changes(uint64_t id, const char *row, const char *old)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "{\"data\":{\"type\":\"UPDATE\",\"commit_timestamp\":null,\"record\":%s,"
                   "\"old_record\":%s,\"errors\":null}}",
                   row, old);
    world.link.on_change(id, tg_str_of(text), world.link_arg);
    turn();
}

/* ---- the stored index ---- */

struct kept kept_of(tg_str feed, tg_str pk, tg_str value)
{
    struct kept k = {0};

    (void)snprintf(k.feed, sizeof(k.feed), "%.*s", TG_STR_ARG(feed));
    (void)snprintf(k.pk, sizeof(k.pk), "%.*s", TG_STR_ARG(pk));
    (void)snprintf(k.value, sizeof(k.value), "%.*s", TG_STR_ARG(value));
    return k;
}

static struct kept *find_kept(const char *feed, const char *pk)
{
    for (size_t i = 0; i < world.n_kept; i++) {
        if (strcmp(world.kept[i].feed, feed) == 0 && strcmp(world.kept[i].pk, pk) == 0) {
            return &world.kept[i];
        }
    }
    return NULL;
}

void keep_row(const char *feed, const char *pk, const char *value)
{
    struct kept *k = find_kept(feed, pk);

    if (k == NULL) {
        cr_assert_lt(world.n_kept, MAX_KEPT);
        k = &world.kept[world.n_kept++];
    }
    *k = kept_of(tg_str_of(feed), tg_str_of(pk), tg_str_of(value));
    if (value[0] == '\0') {
        *k = world.kept[--world.n_kept];
    }
}

const char *kept_row(const char *feed, const char *pk)
{
    const struct kept *k = find_kept(feed, pk);

    return k == NULL ? NULL : k->value;
}

static void forget_kept(const char *feed)
{
    for (size_t i = world.n_kept; i-- > 0;) {
        if (strcmp(world.kept[i].feed, feed) == 0) {
            world.kept[i] = world.kept[--world.n_kept];
        }
    }
}

enum tg_rc tg_store_index_write(struct tg_store *s, const struct tg_index_batch *batch,
                                tg_done_fn *done, void *arg)
{
    enum tg_rc rc = begin_op((struct op){.is_index = true, .plain = done, .arg = arg});
    struct kept feed = kept_of(batch->feed, TG_STR(""), TG_STR(""));

    (void)s;
    if (rc == TG_OK && batch->is_fresh) {
        forget_kept(feed.feed);
    }
    for (size_t i = 0; rc == TG_OK && i < batch->n; i++) {
        struct kept k = kept_of(batch->feed, batch->changes[i].pk, batch->changes[i].put);

        keep_row(k.feed, k.pk, k.value);
    }
    return rc;
}

enum tg_rc tg_store_index_load(struct tg_store *s, tg_str feed, uint64_t from,
                               tg_index_load_fn *done, void *arg)
{
    (void)s;
    (void)from;
    return begin_op((struct op){
        .is_index = true, .put = kept_of(feed, TG_STR(""), TG_STR("")), .load = done, .arg = arg});
}

void answer_load(const struct op *op, enum tg_rc rc)
{
    struct tg_index_change rows[MAX_KEPT];
    size_t n = 0;

    for (size_t i = 0; i < world.n_kept; i++) {
        if (strcmp(world.kept[i].feed, op->put.feed) == 0) {
            rows[n].pk = tg_str_of(world.kept[i].pk);
            rows[n++].put = tg_str_of(world.kept[i].value);
        }
    }
    op->load(rc, rows, n, 0, op->arg);
}
