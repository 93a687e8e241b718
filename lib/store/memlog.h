/* memlog.h - the log, its topics, gaps and leases as a data structure, for the memory backend.
 *
 * One thread at a time, no clock of its own. Says what the Lua scripts say: the tests of the
 * store run against both. */
#ifndef TG_STORE_MEMLOG_H
#define TG_STORE_MEMLOG_H

#include "store/backend.h"
#include "util/ref.h"

/* An entry's content: immutable, shared across threads. */
struct tg_memblob {
    tg_ref ref;
    struct tg_entry entry;
    char bytes[]; /* name, payload */
};
void tg_memblob_unref(struct tg_memblob *b);

/* `wall_ms` gives ids and ages, `mono` the leases. */
struct tg_memtime {
    uint64_t wall_ms;
    tg_usec mono;
};

struct tg_memlog;
struct tg_memlog *tg_memlog_create(const struct tg_store_opts *opts, struct tg_memtime now);
void tg_memlog_destroy(struct tg_memlog *m);

const struct tg_epoch *tg_memlog_epoch(const struct tg_memlog *m);
struct tg_pos tg_memlog_last(const struct tg_memlog *m);
size_t tg_memlog_bytes(const struct tg_memlog *m);

/* TG_VERB_APPEND, _GAP and _CONTROL: whether they may be written (TG_EEPOCH, TG_EFENCED), and that.
 */
enum tg_rc tg_memlog_check(struct tg_memlog *m, const struct tg_ask *ask,
                           struct tg_memtime now) TG_MUST_USE;
enum tg_rc tg_memlog_append(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                            struct tg_pos *ret_pos) TG_MUST_USE;

/* TG_VERB_PAGE. `blobs` has room for ask->max_entries; each carries a reference. */
struct tg_mempage {
    enum tg_verdict verdict;
    struct tg_pos resume;
    bool has_more;
    bool has_skipped;
    size_t n;
};
void tg_memlog_page(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                    struct tg_memblob **blobs, struct tg_mempage *ret_page);

/* TG_VERB_LANE. */
void tg_memlog_lane(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                    struct tg_lane *ret_lane);

/* The log behind `after`, at most `max`. */
size_t tg_memlog_read(struct tg_memlog *m, struct tg_pos after, size_t max,
                      struct tg_memblob **blobs, bool *ret_is_cut);

/* TG_VERB_TAKE, _RENEW, _RELEASE. *ret_holder [borrowed] until the next call. */
enum tg_rc tg_memlog_lease(struct tg_memlog *m, const struct tg_ask *ask, tg_str holder,
                           struct tg_memtime now, uint64_t *ret_fence,
                           tg_str *ret_holder) TG_MUST_USE;

#endif
