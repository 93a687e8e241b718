/* compare.c - rows and keys in the order they came, found through maps. */
#include "server/compare.h"

#include <stdlib.h>

#include "util/map.h"

enum said { UNSAID, SAID_YES, SAID_NO };

struct key {
    char *text;
    enum said said;
};

struct row {
    char *pk;
    struct key *key; /* NULL: left out */
    bool is_shown;
};

struct tg_compare {
    size_t max_rows, max_keys;
    struct row **rows;
    struct key **keys;
    size_t n_rows, n_keys;
    struct tg_map row_of;   /* primary key -> struct row */
    struct tg_map key_of;   /* key -> struct key */
    struct tg_map left_out; /* keys above max_keys */
};

struct tg_compare *tg_compare_create(size_t max_rows, size_t max_keys)
{
    struct tg_compare *c = TG_NEW(struct tg_compare);

    c->max_rows = max_rows;
    c->max_keys = max_keys;
    c->rows = tg_calloc(max_rows, sizeof(struct row *));
    c->keys = tg_calloc(max_keys, sizeof(struct key *));
    return c;
}

void tg_compare_destroy(struct tg_compare *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->n_rows; i++) {
        free(c->rows[i]->pk);
        free(c->rows[i]);
    }
    for (size_t i = 0; i < c->n_keys; i++) {
        free(c->keys[i]->text);
        free(c->keys[i]);
    }
    tg_map_fini(&c->row_of);
    tg_map_fini(&c->key_of);
    tg_map_fini(&c->left_out);
    free(c->rows);
    free(c->keys);
    free(c);
}

static struct key *key_of(struct tg_compare *c, tg_str text)
{
    struct key *key = tg_map_find(&c->key_of, text);

    if (key != NULL) {
        return key;
    }
    if (c->n_keys == c->max_keys) {
        (void)tg_map_put(&c->left_out, text, c);
        return NULL;
    }
    key = TG_NEW(struct key);
    key->text = tg_str_dup(text);
    c->keys[c->n_keys++] = key;
    (void)tg_map_put(&c->key_of, text, key);
    return key;
}

enum tg_rc tg_compare_row(struct tg_compare *c, tg_str pk, tg_str key)
{
    struct row *row = NULL;

    if (tg_map_find(&c->row_of, pk) != NULL) {
        return TG_OK;
    }
    if (c->n_rows == c->max_rows) {
        return TG_EFULL;
    }
    row = TG_NEW(struct row);
    row->pk = tg_str_dup(pk);
    row->key = key_of(c, key);
    c->rows[c->n_rows++] = row;
    (void)tg_map_put(&c->row_of, pk, row);
    return TG_OK;
}

size_t tg_compare_rows(const struct tg_compare *c)
{
    return c->n_rows;
}

void tg_compare_show(struct tg_compare *c, tg_str pk)
{
    struct row *row = tg_map_find(&c->row_of, pk);

    if (row != NULL) {
        row->is_shown = true;
    }
}

size_t tg_compare_keys(const struct tg_compare *c)
{
    return c->n_keys;
}

size_t tg_compare_keys_left_out(const struct tg_compare *c)
{
    return c->left_out.n;
}

tg_str tg_compare_key(const struct tg_compare *c, size_t i)
{
    TG_ASSERT(i < c->n_keys);
    return tg_str_of(c->keys[i]->text);
}

void tg_compare_say(struct tg_compare *c, size_t i, bool is_yes)
{
    TG_ASSERT(i < c->n_keys);
    c->keys[i]->said = is_yes ? SAID_YES : SAID_NO;
}

static void add(struct tg_compare_some *some, const struct row *row)
{
    if (some->n < TG_COMPARE_NAMED) {
        some->named[some->n].pk = tg_str_of(row->pk);
        some->named[some->n].key = tg_str_of(row->key->text);
    }
    some->n++;
}

void tg_compare_result(const struct tg_compare *c, struct tg_compare_result *ret_result)
{
    struct tg_compare_result r = {0};

    for (size_t i = 0; i < c->n_rows; i++) {
        const struct row *row = c->rows[i];

        if (row->key == NULL || row->key->said == UNSAID) {
            continue;
        }
        if (row->key->said == SAID_YES && row->is_shown) {
            r.n_both++;
        } else if (row->key->said == SAID_YES) {
            add(&r.hidden, row);
        } else if (row->is_shown) {
            add(&r.extra, row);
        }
    }
    *ret_result = r;
}
