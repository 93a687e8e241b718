/* resolve.c - getaddrinfo(), one of its answers. */
#include "util/resolve.h"

#include <netdb.h>
#include <stddef.h>
#include <sys/socket.h>

static const struct addrinfo *pick(const struct addrinfo *found, unsigned attempt)
{
    const struct addrinfo *at = found;
    unsigned n = 0;

    for (; at != NULL; at = at->ai_next) {
        n++;
    }
    at = found;
    for (unsigned i = attempt % TG_MAX(n, 1U); i > 0; i--) {
        at = at->ai_next;
    }
    return at;
}

bool tg_resolve(const char *host, unsigned attempt, char ret_address[TG_RESOLVE_MAX])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    const struct addrinfo *one = NULL;
    struct addrinfo *found = NULL;
    bool ok = false;

    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    one = pick(found, attempt);
    TG_ASSERT(one != NULL); /* a success has at least one */
    ok = getnameinfo(one->ai_addr, one->ai_addrlen, ret_address, TG_RESOLVE_MAX, NULL, 0,
                     NI_NUMERICHOST) == 0;
    freeaddrinfo(found);
    return ok;
}
