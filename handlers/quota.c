/* quota.c - a count-min sketch per worker. */
#include "handlers/quota.h"

#include <stdlib.h>

#include "util/count.h"
#include "util/map.h"

enum { ROWS = 2, CELLS = 8192, CELL_BITS = 13 };

struct table {
    tg_count cells[ROWS][CELLS];
};

struct tg_quota {
    unsigned n_workers;
    unsigned max;
    struct table *tables;
};

struct tg_quota *tg_quota_create(unsigned n_workers, unsigned max)
{
    struct tg_quota *q = TG_NEW(struct tg_quota);

    q->n_workers = n_workers;
    q->max = max;
    q->tables = tg_calloc(n_workers, sizeof(q->tables[0]));
    return q;
}

void tg_quota_destroy(struct tg_quota *q)
{
    if (q != NULL) {
        free(q->tables);
        free(q);
    }
}

static uint64_t held(const struct tg_quota *q, const struct tg_quota_place *place)
{
    uint64_t least = UINT64_MAX;

    for (unsigned row = 0; row < ROWS; row++) {
        uint64_t sum = 0;

        for (unsigned w = 0; w < q->n_workers; w++) {
            sum += tg_count_get(&q->tables[w].cells[row][place->cells[row]]);
        }
        least = TG_MIN(least, sum);
    }
    return least;
}

bool tg_quota_take(struct tg_quota *q, unsigned worker, tg_str key,
                   struct tg_quota_place *ret_place)
{
    uint64_t hash = tg_hash(key);
    struct tg_quota_place place = {
        .cells = {(uint16_t)(hash % CELLS), (uint16_t)((hash >> CELL_BITS) % CELLS)},
        .is_taken = true};

    TG_ASSERT(worker < q->n_workers);
    if (held(q, &place) >= q->max) {
        return false;
    }
    for (unsigned row = 0; row < ROWS; row++) {
        tg_count_add(&q->tables[worker].cells[row][place.cells[row]], 1);
    }
    *ret_place = place;
    return true;
}

void tg_quota_give(struct tg_quota *q, unsigned worker, struct tg_quota_place *place)
{
    if (!place->is_taken) {
        return;
    }
    for (unsigned row = 0; row < ROWS; row++) {
        tg_count_sub(&q->tables[worker].cells[row][place->cells[row]], 1);
    }
    place->is_taken = false;
}
