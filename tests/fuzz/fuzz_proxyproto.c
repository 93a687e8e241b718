/* fuzz_proxyproto.c - PROXY headers on any bytes: it takes no more than there is, a part of a good
 * header wants more, and what it gives is an address or none. */
#include <sys/socket.h>

#include "http1/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str text = tg_str_make((const char *)data, n);
    struct sockaddr_storage from = {.ss_family = AF_UNIX};
    size_t used = 0;
    enum tg_rc rc = tg_proxyproto_read(text, &used, &from);

    TG_ASSERT(rc == TG_OK || rc == TG_EAGAIN || rc == TG_EBADREQ);
    TG_ASSERT(rc != TG_EAGAIN || n < TG_PROXYPROTO_MAX);
    if (rc != TG_OK) {
        return 0;
    }
    TG_ASSERT(used != 0 && used <= n && used <= TG_PROXYPROTO_MAX);
    TG_ASSERT(from.ss_family == AF_INET || from.ss_family == AF_INET6 ||
              from.ss_family == AF_UNSPEC);
    for (size_t part = 0; part < used; part++) {
        size_t unused = 0;

        TG_ASSERT(tg_proxyproto_read(tg_str_make(text.p, part), &unused, &from) == TG_EAGAIN);
    }
    return 0;
}
