/* scenarios.h - what can happen to many streams beside single events and bursts. */
#ifndef TG_BENCH_SCENARIOS_H
#define TG_BENCH_SCENARIOS_H

#include "client.h"

/* All streams come back at once, each opts.storm_events behind. */
void storm(struct bench *b);
/* opts.load_per_sec events a second to all streams, for opts.load_sec seconds. */
void load(struct bench *b);

#endif
