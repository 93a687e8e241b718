/* upstream.h - the world of a link under test: a clock that the test turns, and a server made
 * of what the link sends and is told. Stands in for wsclient.c and clock.c at link time. */
#ifndef TG_TESTS_REALTIME_LINK_UPSTREAM_H
#define TG_TESTS_REALTIME_LINK_UPSTREAM_H

#include "realtime/link_int.h"

enum { MAX_SOCKETS = 4, MAX_TOLD = 64 };

/* One socket as the server sees it. */
struct tg_ws {
    struct tg_ws_handler h;
    void *arg;
    char address[64];
    char key[16];
    char sent[16384]; /* one frame a line */
    bool is_closing;  /* the link wants it gone */
    bool is_gone;
};

struct world {
    struct tg_link *link;
    tg_usec now;
    struct tg_ws sockets[MAX_SOCKETS]; /* in the order of their opening */
    unsigned n_sockets;
    bool refuses_opens;
    bool refuses_sends;
    char told[4096]; /* what the hub was told, one a line */
};
extern struct world world;

/* A link to ws://127.0.0.1:4000/socket with 2 channels a socket and 10 joins a second. */
void start(void);
void stop(void);
void start_with(const char *url, unsigned joins_per_second);

/* Lets the link see its mail and the time. */
void turn(void);
void pass(tg_usec time);
void forget(void); /* what was told and sent so far */

void join(uint64_t id);
void join_service(uint64_t id); /* the gateway's own, without a token */
void push_token(uint64_t id, const char *token);
void opened(unsigned socket);
/* join, socket opened, reply and `Subscribed` of the first channel of socket 0. */
void bring_up(uint64_t id);
void hear(unsigned socket, const char *format, ...) TG_PRINTF(2, 3);
/* The frames of upstream for a channel; `ref` is that of its join. */
void reply(unsigned socket, uint64_t id, unsigned ref, const char *status, const char *response);
void system_says(unsigned socket, uint64_t id, const char *status, const char *message);
void subscribed(unsigned socket, uint64_t id);
void lose(unsigned socket);
/* The code of the close frame, or the HTTP status of the refused upgrade. */
void lose_with(unsigned socket, unsigned code);

/* How often `what` stands in the frames sent through a socket. */
unsigned sent(unsigned socket, const char *what);
/* Everything told since forget(). */
#define cr_assert_told(expected) cr_assert_str_eq(world.told, expected)

#endif
