/* phoenix.c - Phoenix text frames. */
#include "realtime/phoenix.h"

#include "util/json.h"

static bool is_null(tg_str value)
{
    return tg_str_eq(value, TG_STR("null"));
}

/* The raw text between the quotes of a string value. */
static bool inside_quotes(tg_str value, tg_str *ret)
{
    if (value.n < 2 || value.p[0] != '"') {
        return false;
    }
    *ret = tg_str_make(value.p + 1, value.n - 2);
    return true;
}

enum tg_rc tg_phoenix_parse(tg_str text, struct tg_phoenix *ret_frame)
{
    struct tg_phoenix f = {0};
    tg_str *const refs[] = {&f.join_ref, &f.ref, &f.topic, &f.event};
    tg_str none = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    if (text.n == 0 || text.p[0] != '[') {
        return TG_EBADJSON;
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(refs); i++) {
        if (tg_json_next(text, &at, &none, &value) != TG_OK) {
            return TG_EBADJSON;
        }
        if (!inside_quotes(value, refs[i]) && !(i < 2 && is_null(value))) {
            return TG_EBADJSON;
        }
    }
    if (tg_json_next(text, &at, &none, &f.payload) != TG_OK) {
        return TG_EBADJSON;
    }
    *ret_frame = f;
    return TG_OK;
}

enum tg_rc tg_phoenix_reply(tg_str payload, bool *ret_ok, tg_str *ret_response)
{
    tg_str status = TG_STR_NONE;
    tg_str response = TG_STR("{}");

    if (tg_json_member(payload, "status", &status) != TG_OK) {
        return TG_EBADJSON;
    }
    (void)!tg_json_member(payload, "response", &response);
    *ret_ok = tg_str_eq(status, TG_STR("\"ok\""));
    *ret_response = response;
    return TG_OK;
}

/* ["<join_ref>","<ref>","<topic>","<event>", ; join_ref 0 is null. */
static void put_start(struct tg_buf *out, uint64_t join_ref, uint64_t ref, tg_str topic,
                      tg_str event)
{
    (void)tg_buf_char(out, '[');
    if (join_ref == 0) {
        (void)tg_buf_str(out, TG_STR("null"));
    } else {
        (void)tg_buf_char(out, '"');
        (void)tg_buf_u64(out, join_ref);
        (void)tg_buf_char(out, '"');
    }
    (void)tg_buf_str(out, TG_STR(",\""));
    (void)tg_buf_u64(out, ref);
    (void)tg_buf_str(out, TG_STR("\","));
    (void)tg_json_quote(out, topic);
    (void)tg_buf_char(out, ',');
    (void)tg_json_quote(out, event);
    (void)tg_buf_char(out, ',');
}

void tg_phoenix_join(struct tg_buf *out, uint64_t ref, tg_str topic,
                     const struct tg_phoenix_changes *changes, tg_str token)
{
    put_start(out, ref, ref, topic, TG_STR("phx_join"));
    (void)tg_buf_str(out, TG_STR("{\"config\":{\"broadcast\":{\"ack\":false,\"self\":false},"
                                 "\"presence\":{\"enabled\":false,\"key\":\"\"},"
                                 "\"postgres_changes\":[{\"event\":\"*\",\"schema\":"));
    (void)tg_json_quote(out, changes->schema);
    (void)tg_buf_str(out, TG_STR(",\"table\":"));
    (void)tg_json_quote(out, changes->table);
    /* A member with null would be an error upstream: left out. */
    if (changes->filter.n != 0) {
        (void)tg_buf_str(out, TG_STR(",\"filter\":"));
        (void)tg_json_quote(out, changes->filter);
    }
    (void)tg_buf_str(out, TG_STR("}],\"private\":false},"));
    if (token.n != 0) {
        (void)tg_buf_str(out, TG_STR("\"access_token\":"));
        (void)tg_json_quote(out, token);
        (void)tg_buf_char(out, ',');
    }
    (void)tg_buf_str(out, TG_STR("\"version\":\"tidegate\"}]"));
}

void tg_phoenix_leave(struct tg_buf *out, uint64_t join_ref, uint64_t ref, tg_str topic)
{
    put_start(out, join_ref, ref, topic, TG_STR("phx_leave"));
    (void)tg_buf_str(out, TG_STR("{}]"));
}

void tg_phoenix_token(struct tg_buf *out, uint64_t join_ref, uint64_t ref, tg_str topic,
                      tg_str token)
{
    put_start(out, join_ref, ref, topic, TG_STR("access_token"));
    (void)tg_buf_str(out, TG_STR("{\"access_token\":"));
    (void)tg_json_quote(out, token);
    (void)tg_buf_str(out, TG_STR("}]"));
}

void tg_phoenix_heartbeat(struct tg_buf *out, uint64_t ref)
{
    put_start(out, 0, ref, TG_STR("phoenix"), TG_STR("heartbeat"));
    (void)tg_buf_str(out, TG_STR("{}]"));
}
