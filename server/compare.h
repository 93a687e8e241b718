/* compare.h - the rows of a table as a topic would show them to a user, against those that the
 * database shows this user (tidegate --check --as).
 *
 * Rows by primary key, each with the key that routes it; of each key whether the user may read it;
 * and which rows the user can read. Pure; bounded. */
#ifndef TG_SERVER_COMPARE_H
#define TG_SERVER_COMPARE_H

#include "util/rc.h"
#include "util/str.h"

struct tg_compare;

enum { TG_COMPARE_NAMED = 5 };

/* [owned]. */
struct tg_compare *tg_compare_create(size_t max_rows, size_t max_keys);
void tg_compare_destroy(struct tg_compare *c); /* NULL is fine */

/* A row of the table. The same again changes nothing. TG_EFULL: not taken. */
enum tg_rc tg_compare_row(struct tg_compare *c, tg_str pk, tg_str key) TG_MUST_USE;

size_t tg_compare_rows(const struct tg_compare *c);

/* The user can read this row; one that is not there says nothing. */
void tg_compare_show(struct tg_compare *c, tg_str pk);

/* The keys in the order they came, at most `max_keys`; of those above nothing is compared. */
size_t tg_compare_keys(const struct tg_compare *c);
size_t tg_compare_keys_left_out(const struct tg_compare *c);
tg_str tg_compare_key(const struct tg_compare *c, size_t i); /* [borrowed] */
/* Whether the user may read the topic of this key. What is not said is not compared. */
void tg_compare_say(struct tg_compare *c, size_t i, bool is_yes);

struct tg_compare_some {
    size_t n;
    struct {
        tg_str pk, key;
    } named[TG_COMPARE_NAMED]; /* the first of them; [borrowed] from the comparison */
};

struct tg_compare_result {
    struct tg_compare_some hidden; /* the topic would show them, the database does not */
    struct tg_compare_some extra;  /* the other way round */
    size_t n_both;                 /* both show them */
};

void tg_compare_result(const struct tg_compare *c, struct tg_compare_result *ret_result);

#endif
