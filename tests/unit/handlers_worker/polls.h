/* polls.h - a poll as a request over a connection: shared by the tests of poll.c and collect.c. */
#ifndef TG_TESTS_UNIT_HANDLERS_WORKER_POLLS_H
#define TG_TESTS_UNIT_HANDLERS_WORKER_POLLS_H

#include "fakes.h"
#include "handlers/poll.h"

#define PATH "/sync/v1/poll"
#define ONE PATH "?topic=table:public.a"
#define RESUMED ONE "&cursor=e.5-0"

struct given {
    struct fleet fleet;
    struct asked_request r;
    char *value;
};

/* A signed-in user's request, which poll_start() begins. */
void poll_begin(struct given *g, const char *target);
void poll_start(struct given *g);
void poll_drop(struct given *g);
/* The same, once the request is over. */
void poll_finish(struct given *g);
void poll_has(const struct given *g, const char *field);
void poll_answered(const struct given *g, unsigned status, const char *body);

#endif
