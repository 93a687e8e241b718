/* options.c - the configuration's upstream in the words of those who call it. */
#include "server/options.h"

#include "config/config.h"

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

struct tg_upstream_opts tg_options_upstream(const struct tg_config *c)
{
    return (struct tg_upstream_opts){
        .origin = c->supabase.url,
        .ca_file = or_null(c->supabase.ca_file),
        .http2 = c->upstream.http2,
        .max_connections = c->upstream.max_connections,
        .max_waiting = c->upstream.max_waiting,
        .connect_timeout = TG_MS(c->upstream.connect_timeout_ms),
        .first_byte_timeout = TG_MS(c->upstream.first_byte_timeout_ms),
        .idle_timeout = TG_MS(c->upstream.idle_timeout_ms),
        .max_head_bytes = c->upstream.head_bytes,
        .send_buffer = c->upstream.send_bytes,
        .retry_percent = c->upstream.retry_budget,
        .breaker_failures = c->upstream.breaker_failures,
        .breaker_open = TG_MS(c->upstream.breaker_open_ms),
    };
}

struct tg_link_opts tg_options_link(const struct tg_config *c)
{
    return (struct tg_link_opts){
        .url = c->supabase.realtime_url,
        .api_key = c->supabase.anon_key,
        .service_key = c->supabase.service_key,
        .ca_file = or_null(c->supabase.ca_file),
        .channels_per_socket = c->realtime.channels_per_socket,
        .joins_per_second = c->realtime.joins_per_second,
        .messages_per_second = c->realtime.messages_per_second,
        .heartbeat = TG_MS(c->realtime.heartbeat_ms),
        .max_message_bytes = c->realtime.message_bytes,
    };
}
