/* census.h - how many streams a device has open on this gateway, asked of all its workers.
 *
 * The question is one mail that goes from worker to worker and home again. */
#ifndef TG_HANDLERS_CENSUS_H
#define TG_HANDLERS_CENSUS_H

#include "util/id.h"
#include "util/str.h"

struct tg_worker;

/* A worker's questions that are under way. Zeroed is none; tg_census_stop() before the loop ends.
 */
struct tg_census {
    struct tg_ids ids;
    struct census_ask *asks;
};

/* `is_whole` false: not all workers have answered within a second. */
typedef void tg_census_fn(size_t n, bool is_whole, void *arg);

/* `done` comes once, never from inside. Texts are borrowed for the call. */
void tg_census_take(struct tg_worker *w, tg_str user, tg_str device, tg_census_fn *done, void *arg);
/* Answers what is outstanding. Again is fine. */
void tg_census_stop(struct tg_worker *w);

#endif
