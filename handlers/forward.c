/* forward.c - reads and writes the forwarding fields. */
#include "handlers/forward.h"

enum { MAX_LIST_BYTES = 4096 };

bool tg_forward_is_field(tg_str name)
{
    return tg_str_has_iprefix(name, TG_STR("X-Forwarded-")) ||
           tg_str_ieq(name, TG_STR("Forwarded"));
}

bool tg_forward_is_reserved(tg_str name)
{
    static const tg_str names[] = {TG_STR_INIT("Sb-Forwarded-For"), TG_STR_INIT("sb-api-key"),
                                   TG_STR_INIT("x-api-key"), TG_STR_INIT("X-JWT-AUD")};

    for (size_t i = 0; i < TG_ARRAY_LEN(names); i++) {
        if (tg_str_ieq(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* The last field of that name: the one that the nearest proxy wrote. */
static tg_str last_value(struct tg_fields fields, tg_str name)
{
    for (size_t i = fields.n; i > 0; i--) {
        if (tg_str_ieq(fields.v[i - 1].name, name)) {
            return fields.v[i - 1].value;
        }
    }
    return TG_STR_NONE;
}

static tg_str last_entry(tg_str list)
{
    tg_str entry = TG_STR_NONE;

    while (list.p != NULL) {
        entry = tg_str_trim(tg_str_cut(&list, ','));
    }
    return entry;
}

/* IPv4 or IPv6 by its characters; a port or a name is none. */
static bool is_address(tg_str s)
{
    size_t n_dots = 0;
    size_t n_colons = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        n_dots += c == '.' ? 1 : 0;
        n_colons += c == ':' ? 1 : 0;
        if (!is_hex && c != '.' && c != ':') {
            return false;
        }
    }
    return s.n <= 45 && (n_colons >= 2 || (n_dots == 3 && n_colons == 0));
}

tg_str tg_forward_client(struct tg_fields fields, struct tg_forward_peer peer)
{
    tg_str entry = TG_STR_NONE;

    if (peer.is_trusted) {
        entry = last_entry(last_value(fields, TG_STR("X-Forwarded-For")));
    }
    return is_address(entry) ? entry : peer.address;
}

tg_str tg_forward_scheme(struct tg_fields fields, struct tg_forward_peer peer)
{
    tg_str said = TG_STR_NONE;

    if (peer.is_trusted) {
        said = last_entry(last_value(fields, TG_STR("X-Forwarded-Proto")));
    }
    return tg_str_ieq(said, TG_STR("https")) ? TG_STR("https") : TG_STR("http");
}

tg_str tg_forward_host(struct tg_fields fields, struct tg_forward_peer peer, tg_str host)
{
    tg_str said = TG_STR_NONE;

    if (peer.is_trusted) {
        said = last_entry(last_value(fields, TG_STR("X-Forwarded-Host")));
    }
    return said.n > 0 ? said : host;
}

tg_str tg_forward_for(struct tg_arena *arena, struct tg_fields fields, struct tg_forward_peer peer)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_LIST_BYTES};

    for (size_t i = 0; peer.is_trusted && i < fields.n; i++) {
        if (tg_str_ieq(fields.v[i].name, TG_STR("X-Forwarded-For")) && fields.v[i].value.n > 0) {
            (void)tg_buf_str(&out, fields.v[i].value);
            (void)tg_buf_str(&out, TG_STR(", "));
        }
    }
    (void)tg_buf_str(&out, peer.address);
    /* Over the bound the chain is cut to what we know ourselves. */
    return tg_arena_str(arena, tg_buf_rc(&out) == TG_OK ? tg_buf_view(&out) : peer.address);
}

tg_str tg_forward_forwarded(struct tg_arena *arena, tg_str value, tg_str address)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_LIST_BYTES};
    bool is_v6 = tg_str_find(address, ':') < address.n;

    if (value.n > 0) {
        (void)tg_buf_str(&out, value);
        (void)tg_buf_str(&out, TG_STR(", "));
    }
    (void)tg_buf_str(&out, is_v6 ? TG_STR("for=\"[") : TG_STR("for="));
    (void)tg_buf_str(&out, address);
    (void)tg_buf_str(&out, is_v6 ? TG_STR("]\"") : TG_STR(""));
    return tg_buf_rc(&out) == TG_OK ? tg_arena_str(arena, tg_buf_view(&out)) : value;
}
