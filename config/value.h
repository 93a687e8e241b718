/* value.h - one value between its text and its member of struct tg_config. */
#ifndef TG_CONFIG_VALUE_H
#define TG_CONFIG_VALUE_H

#include "config/key.h"
#include "util/buf.h"

/* Checks `text` and writes the key's member. Entries of a list are separated by commas.
 * TG_EBADPARAM changes nothing. */
enum tg_rc tg_value_set(const struct tg_config_key *key, struct tg_config *cfg,
                        tg_str text) TG_MUST_USE;

/* Appends the member as tg_value_set() would read it: the same value always as the same text. */
void tg_value_render(const struct tg_config_key *key, const struct tg_config *cfg,
                     struct tg_buf *out);

/* Appends what is allowed, in words: "a duration from 1s to 5m (ms, s, m, h, d)". */
void tg_value_describe(const struct tg_config_key *key, struct tg_buf *out);

/* "10s", "0". TG_EBADPARAM. */
enum tg_rc tg_value_duration(tg_str text, uint64_t *ret_ms) TG_MUST_USE;
/* Appends it as it is read. */
void tg_value_put_duration(uint64_t ms, struct tg_buf *out);

#endif
