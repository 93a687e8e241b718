/* keys.h - every configuration key, once.
 *
 *   K(section, name, type, default, least, most, reload, secrecy, sentence)
 *
 * One entry yields the member of struct tg_config (config/config.h), the parser, the variable
 * TIDEGATE_<SECTION>_<NAME>, the checks, a line of `--dump` and a row of docs/CONFIG.md (made
 * by `tidegate --config-doc`). Default and bounds are written as an operator would write them:
 * numbers, durations ("10s"), sizes ("64k"); for texts the bounds are a length in bytes, for
 * lists a number of entries. A text with an empty default and a least length is required.
 * LIVE keys may change on reload, RESTART keys need a restart; SECRET values are never shown.
 *
 * Types: BOOL, U32, U64, DURATION (member <name>_ms), BYTES, TEXT, NAME, ADDRESS, URL (an
 * origin), PATH_URL, SOCKET_URL, STORE_URL, CIDRS, ORIGINS, TABLES, POLICY, LEVEL. */
#ifndef TG_CONFIG_KEYS_H
#define TG_CONFIG_KEYS_H

#define TG_CONFIG_SERVER(K)                                                                        \
    K(server, listen, ADDRESS, "127.0.0.1:8080", "", "", RESTART, PLAIN,                           \
      "Where clients connect. Port 0 takes any free one; the log line event=listen tells which.")  \
    K(server, workers, U32, "0", "0", "256", RESTART, PLAIN,                                       \
      "Worker threads, each with a listener and a loop of its own; 0 is one per processor.")       \
    K(server, max_connections, U32, "10000", "1", "1000000", RESTART, PLAIN,                       \
      "Client connections at once, over all workers. One more is answered 503 and closed.")        \
    K(server, trusted_proxies, CIDRS, "", "0", "64", RESTART, PLAIN,                               \
      "Networks of the load balancers whose forwarding headers and PROXY lines are believed.")     \
    K(server, proxy_protocol, BOOL, "off", "", "", RESTART, PLAIN,                                 \
      "Connections from trusted proxies begin with a PROXY protocol header (version 1 or 2).")     \
    K(server, drain_timeout, DURATION, "30s", "0", "1h", RESTART, PLAIN,                           \
      "On SIGTERM: how long running requests and streams get before the process ends.")

#define TG_CONFIG_LIMITS(K)                                                                        \
    K(limits, target_bytes, BYTES, "16k", "8k", "64k", RESTART, PLAIN,                             \
      "Longest request target (path and query). A longer one is answered 414.")                    \
    K(limits, head_bytes, BYTES, "32k", "8k", "256k", RESTART, PLAIN,                              \
      "Largest request head, request line included. A larger one is answered 431.")                \
    K(limits, fields, U32, "100", "16", "1000", RESTART, PLAIN,                                    \
      "Most header fields in a request. More are answered 431.")                                   \
    K(limits, body_bytes, BYTES, "5g", "0", "1024g", RESTART, PLAIN,                               \
      "Largest body that is passed upstream; 0 is without limit. A larger one is answered 413.")   \
    K(limits, own_body_bytes, BYTES, "1m", "1k", "16m", RESTART, PLAIN,                            \
      "Largest body for the gateway's own endpoints (/sync/v1).")                                  \
    K(limits, drop_bytes, BYTES, "1m", "0", "1g", RESTART, PLAIN,                                  \
      "What is read and dropped of an upload whose answer has been given already.")                \
    K(limits, backlog_bytes, BYTES, "256k", "16k", "16m", RESTART, PLAIN,                          \
      "Answer bytes kept for one slow client before its upstream is paused.")

#define TG_CONFIG_TIMEOUTS(K)                                                                      \
    K(timeouts, head, DURATION, "10s", "100ms", "5m", RESTART, PLAIN,                              \
      "From the first byte of a request to the end of its head. Later is answered 408.")           \
    K(timeouts, idle, DURATION, "75s", "1s", "1h", RESTART, PLAIN,                                 \
      "How long a keep-alive connection may wait for its next request.")                           \
    K(timeouts, body_idle, DURATION, "30s", "100ms", "1h", RESTART, PLAIN,                         \
      "Longest silence inside a request body that the gateway is ready to read.")                  \
    K(timeouts, send_idle, DURATION, "60s", "100ms", "1h", RESTART, PLAIN,                         \
      "How long a client may take no byte of what is ready for it.")

#define TG_CONFIG_UPSTREAM(K)                                                                      \
    K(upstream, connect_timeout, DURATION, "5s", "100ms", "5m", RESTART, PLAIN,                    \
      "To a usable connection to Supabase, TLS included.")                                         \
    K(upstream, first_byte_timeout, DURATION, "60s", "100ms", "1h", RESTART, PLAIN,                \
      "From the end of the request to the first byte of the answer. Later is answered 504.")       \
    K(upstream, idle_timeout, DURATION, "60s", "100ms", "1h", RESTART, PLAIN,                      \
      "Longest silence inside an answer, and how long an unused connection is kept.")              \
    K(upstream, http2, BOOL, "off", "", "", RESTART, PLAIN,                                        \
      "Ask for HTTP/2 upstream. Off uses a pool of HTTP/1.1 connections, which needs less "        \
      "memory.")                                                                                   \
    K(upstream, max_connections, U32, "256", "1", "65535", RESTART, PLAIN,                         \
      "Upstream connections of one worker.")                                                       \
    K(upstream, max_waiting, U32, "1024", "0", "100000", RESTART, PLAIN,                           \
      "Requests of one worker that may wait for an upstream connection. More are answered 503.")   \
    K(upstream, head_bytes, BYTES, "64k", "8k", "1m", RESTART, PLAIN,                              \
      "Largest head of an answer. A larger one is answered 502.")                                  \
    K(upstream, send_bytes, BYTES, "256k", "16k", "16m", RESTART, PLAIN,                           \
      "Request body bytes kept for one slow upstream call before its client is paused.")           \
    K(upstream, retry_budget, U32, "10", "0", "100", RESTART, PLAIN,                               \
      "Retries of idempotent requests, as a percentage of all requests; 0 never retries.")         \
    K(upstream, breaker_failures, U32, "10", "0", "10000", RESTART, PLAIN,                         \
      "Failures in a row that open a service's breaker; 0 has no breaker.")                        \
    K(upstream, breaker_open, DURATION, "5s", "100ms", "10m", RESTART, PLAIN,                      \
      "How long an open breaker answers 503 before it lets one request try.")

#define TG_CONFIG_SUPABASE(K)                                                                      \
    K(supabase, url, URL, "", "1", "255", RESTART, PLAIN,                                          \
      "The project: scheme, host and port, without a path.")                                       \
    K(supabase, anon_key, TEXT, "", "1", "4096", RESTART, SECRET,                                  \
      "The project's anon key (a JWT) or publishable key (sb_publishable_...).")                   \
    K(supabase, service_key, TEXT, "", "0", "4096", RESTART, SECRET,                               \
      "The service_role key or a secret key (sb_secret_...). Declared topics need it.")            \
    K(supabase, jwt_secret, TEXT, "", "0", "1024", RESTART, SECRET,                                \
      "The secret that signs HS256 user tokens. Without it only the JWKS verifies tokens.")        \
    K(supabase, jwt_issuer, TEXT, "", "0", "512", RESTART, PLAIN,                                  \
      "The iss that user tokens must carry; empty checks none.")                                   \
    K(supabase, jwt_audience, TEXT, "", "0", "255", RESTART, PLAIN,                                \
      "The aud that user tokens must carry; empty checks none.")                                   \
    K(supabase, jwks_url, PATH_URL, "", "0", "512", RESTART, PLAIN,                                \
      "Where the public signing keys are, on supabase.url; empty is its "                          \
      "/auth/v1/.well-known/jwks.json.")                                                           \
    K(supabase, realtime_url, SOCKET_URL, "", "0", "512", RESTART, PLAIN,                          \
      "The Realtime socket; empty is supabase.url with /realtime/v1/websocket.")                   \
    K(supabase, ca_file, TEXT, "", "0", "4095", RESTART, PLAIN,                                    \
      "Certificates (PEM) that sign the project's; empty uses the system's.")                      \
    K(supabase, forward_client_ip, BOOL, "off", "", "", RESTART, PLAIN,                            \
      "Tell Auth the client's address (Sb-Forwarded-For). Needs supabase.service_key.")

#define TG_CONFIG_AUTH(K)                                                                          \
    K(auth, verify_rest, POLICY, "verify", "", "", RESTART, PLAIN,                                 \
      "Tokens on /rest/v1: off passes them unread, verify checks one that is there, "              \
      "require wants one.")                                                                        \
    K(auth, verify_storage, POLICY, "verify", "", "", RESTART, PLAIN, "The same for /storage/v1.") \
    K(auth, verify_graphql, POLICY, "verify", "", "", RESTART, PLAIN, "The same for /graphql/v1.") \
    K(auth, verify_functions, POLICY, "off", "", "", RESTART, PLAIN,                               \
      "The same for /functions/v1.")                                                               \
    K(auth, verify_auth, POLICY, "off", "", "", RESTART, PLAIN, "The same for /auth/v1.")          \
    K(auth, skew, DURATION, "30s", "0", "5m", RESTART, PLAIN,                                      \
      "Clock difference forgiven to tokens of proxied requests. Own endpoints forgive none.")      \
    K(auth, jwks_refresh, DURATION, "5m", "10s", "1d", RESTART, PLAIN,                             \
      "How often the public signing keys are fetched again.")                                      \
    K(auth, cache_tokens, U32, "4096", "1", "1000000", RESTART, PLAIN,                             \
      "Verified tokens that one worker remembers.")                                                \
    K(auth, checks_per_second, U32, "20", "1", "100000", RESTART, PLAIN,                           \
      "Signature checks per second and client address on one worker. More are answered 429.")      \
    K(auth, checks_burst, U32, "100", "1", "100000", RESTART, PLAIN,                               \
      "Signature checks that one address may save up.")                                            \
    K(auth, ticket_life, DURATION, "30s", "1s", "10m", RESTART, PLAIN,                             \
      "How long a ticket from POST /sync/v1/ticket may wait for its use.")

#define TG_CONFIG_CORS(K)                                                                          \
    K(cors, origins, ORIGINS, "", "0", "64", RESTART, PLAIN,                                       \
      "Origins that browsers may call from. Empty passes the upstream's CORS headers through.")    \
    K(cors, max_age, DURATION, "10m", "0", "1d", RESTART, PLAIN,                                   \
      "How long a browser may remember a preflight answer.")

#define TG_CONFIG_STORE(K)                                                                         \
    K(store, url, STORE_URL, "", "0", "512", RESTART, SECRET,                                      \
      "redis://[user:password@]host[:port][/database] or unix:/path; empty keeps the log in "      \
      "memory, where a "                                                                           \
      "restart loses it.")                                                                         \
    K(store, prefix, NAME, "tidegate", "1", "64", RESTART, PLAIN,                                  \
      "Begins every key in the store. Gateways of one group share it.")                            \
    K(store, retain_for, DURATION, "7d", "1m", "365d", RESTART, PLAIN,                             \
      "How long a topic's events can be replayed.")                                                \
    K(store, retain_events, U32, "10000", "10", "10000000", RESTART, PLAIN,                        \
      "Events kept per topic.")                                                                    \
    K(store, log_retain, U32, "100000", "100", "10000000", RESTART, PLAIN,                         \
      "Events kept in the group's common log, which gateways follow.")                             \
    K(store, event_bytes, BYTES, "1m", "1k", "16m", RESTART, PLAIN, "Largest event that is kept.") \
    K(store, max_pending, U32, "10000", "10", "1000000", RESTART, PLAIN,                           \
      "Store operations of one thread under way at once. More are answered 503.")                  \
    K(store, timeout, DURATION, "2s", "10ms", "1m", RESTART, PLAIN,                                \
      "How long one command to Redis may take.")

#define TG_CONFIG_GATEWAY(K)                                                                       \
    K(gateway, id, NAME, "", "0", "64", RESTART, PLAIN,                                            \
      "This gateway's name in leases and logs; empty is the host's name and a random part.")       \
    K(gateway, group_size, U32, "1", "1", "1000", RESTART, PLAIN,                                  \
      "Gateways that share the store. More than one needs store.url and gateway.secret.")          \
    K(gateway, secret, TEXT, "", "0", "1024", RESTART, SECRET,                                     \
      "At least 32 random bytes, the same at every gateway of the group: tickets and what "        \
      "gateways tell each other of tokens are sealed with it. Empty makes one at each start, "     \
      "which suits a gateway that is alone.")                                                      \
    K(gateway, lease, DURATION, "15s", "2s", "5m", RESTART, PLAIN,                                 \
      "How long a gateway that fell silent keeps its feeds before another takes them over.")

#define TG_CONFIG_REALTIME(K)                                                                      \
    K(realtime, channels_per_socket, U32, "100", "1", "1000", RESTART, PLAIN,                      \
      "Channels on one upstream Realtime socket, as the project's plan allows.")                   \
    K(realtime, joins_per_second, U32, "50", "1", "10000", RESTART, PLAIN,                         \
      "Channel joins per second, as the project's plan allows.")                                   \
    K(realtime, messages_per_second, U32, "100", "0", "1000000", RESTART, PLAIN,                   \
      "Messages per second that the project's plan allows. Beyond it Realtime drops changes "      \
      "without a sign, so near it (80 % over a minute) there is a gap, or with catchup the table " \
      "is compared; 0: there is no limit.")                                                        \
    K(realtime, heartbeat, DURATION, "25s", "1s", "1m", RESTART, PLAIN,                            \
      "Time between two heartbeats on an upstream Realtime socket.")                               \
    K(realtime, message_bytes, BYTES, "4m", "64k", "64m", RESTART, PLAIN,                          \
      "Largest message from Realtime.")

#define TG_CONFIG_STRICT(K)                                                                        \
    K(strict, tables, TABLES, "", "0", "1000", RESTART, PLAIN,                                     \
      "Tables that table: topics may name, as schema.table; empty is every table of public.")      \
    K(strict, per_user, U32, "10", "1", "1000", RESTART, PLAIN,                                    \
      "Strict topics that one user may follow at once.")                                           \
    K(strict, max_feeds, U32, "1000", "1", "100000", RESTART, PLAIN,                               \
      "Upstream channels for strict topics, over all users.")                                      \
    K(strict, index_rows, U32, "10000", "1", "10000000", RESTART, PLAIN,                           \
      "Rows of one strict topic whose primary keys are kept, so that only their DELETEs are "      \
      "told. "                                                                                     \
      "Beyond it the DELETE of an unknown row is a gap.")                                          \
    K(strict, index_total, U32, "1000000", "1", "100000000", RESTART, PLAIN,                       \
      "The same over all strict topics; about 110 bytes a row.")

#define TG_CONFIG_INDEX(K)                                                                         \
    K(index, max_rows, U32, "1000000", "1", "100000000", RESTART, PLAIN,                           \
      "Rows of one table that are indexed. Beyond it hello says deletes: partial, and a DELETE "   \
      "of an unknown row is a gap.")                                                               \
    K(index, page_rows, U32, "1000", "1", "100000", RESTART, PLAIN,                                \
      "Rows asked for at once while a table is read; not over the project's own max_rows.")        \
    K(index, max_waiting, U32, "10000", "10", "1000000", RESTART, PLAIN,                           \
      "Changes of one table that wait while it is read. More of them begin the reading anew.")     \
    K(index, verify, DURATION, "5m", "0", "1d", RESTART, PLAIN,                                    \
      "How often a table with catchup is compared with what its topics were told, and the rows "   \
      "that a strict topic's class can see are read anew; 0: never.")

#define TG_CONFIG_ACCESS(K)                                                                        \
    K(access, per_second, U32, "200", "1", "100000", RESTART, PLAIN,                               \
      "Questions who may read a topic, per second, over all workers. More of them wait.")          \
    K(access, per_user, U32, "20", "1", "10000", RESTART, PLAIN, "The same for one user.")         \
    K(access, max_waiting, U32, "10000", "1", "1000000", RESTART, PLAIN,                           \
      "Questions that wait, over all workers. More are answered 503.")                             \
    K(access, timeout, DURATION, "10s", "100ms", "1m", RESTART, PLAIN,                             \
      "How long an answer may take.")                                                              \
    K(access, cache, U32, "100000", "1", "10000000", RESTART, PLAIN,                               \
      "Answers that are remembered, over all workers.")                                            \
    K(access, grace, DURATION, "2m", "0", "1d", RESTART, PLAIN,                                    \
      "How long beyond recheck a stream is served while PostgREST cannot be asked.")               \
    K(access, unwatched, DURATION, "60s", "1s", "1d", RESTART, PLAIN,                              \
      "recheck of all topics whose revoke_on table is not covered just now, if theirs is longer.")

#define TG_CONFIG_STREAMS(K)                                                                       \
    K(streams, max, U32, "10000", "1", "1000000", RESTART, PLAIN,                                  \
      "Open streams, over all workers.")                                                           \
    K(streams, per_user, U32, "20", "1", "100000", RESTART, PLAIN, "Open streams of one user.")    \
    K(streams, per_address, U32, "100", "1", "1000000", RESTART, PLAIN,                            \
      "Open streams from one client address.")                                                     \
    K(streams, topics_max, U32, "50", "1", "1000", RESTART, PLAIN, "Topics on one stream.")        \
    K(streams, heartbeat, DURATION, "15s", "1s", "5m", RESTART, PLAIN,                             \
      "Time between two comment lines on a quiet stream.")                                         \
    K(streams, message_bytes, BYTES, "64k", "1k", "1m", RESTART, PLAIN,                            \
      "The greatest message that a WebSocket client may send.")                                    \
    K(streams, client_messages, U32, "20", "1", "10000", RESTART, PLAIN,                           \
      "Messages a second of one WebSocket client; ten times as many at once.")                     \
    K(streams, ring_events, U32, "1024", "16", "1000000", RESTART, PLAIN,                          \
      "Recent events of a topic that a worker keeps at hand.")                                     \
    K(streams, ring_bytes, BYTES, "4m", "64k", "1g", RESTART, PLAIN,                               \
      "Bytes of recent events of a topic that a worker keeps at hand.")                            \
    K(streams, retry, DURATION, "3s", "100ms", "5m", RESTART, PLAIN,                               \
      "The pause before reconnecting that streams suggest to their clients.")                      \
    K(streams, page_reads, U32, "64", "1", "10000", RESTART, PLAIN,                                \
      "Reads of the log under way at once on one worker, for streams that replay.")                \
    K(streams, ready_wait, DURATION, "10s", "100ms", "1m", RESTART, PLAIN,                         \
      "How long a new stream waits for its topics to be covered upstream.")                        \
    K(streams, snapshot_rows, U32, "200", "1", "1000", RESTART, PLAIN,                             \
      "Rows in one page of a snapshot, at most.")                                                  \
    K(streams, snapshot_bytes, BYTES, "256k", "16k", "4m", RESTART, PLAIN,                         \
      "Bytes in one page of a snapshot; pages of wider rows get fewer rows.")                      \
    K(streams, snapshot_reads, U32, "16", "1", "1000", RESTART, PLAIN,                             \
      "Pages of snapshots that one worker reads from PostgREST at once.")                          \
    K(streams, topic_linger, DURATION, "1m", "0", "1h", RESTART, PLAIN,                            \
      "How long a worker keeps a topic's recent events at hand when its last reader has left.")    \
    K(streams, reset_spread, DURATION, "30s", "0", "1h", RESTART, PLAIN,                           \
      "At most one reset of a topic in this time for DELETEs of unknown rows.")                    \
    K(streams, token_grace, DURATION, "5m", "0", "1h", RESTART, PLAIN,                             \
      "How long a stream whose token has ended waits, without events, for a fresh one.")           \
    K(streams, max_age, DURATION, "12h", "0", "30d", RESTART, PLAIN,                               \
      "How old a stream gets, less up to a tenth at random; then it ends with bye. 0: any age.")

#define TG_CONFIG_POLLS(K)                                                                         \
    K(polls, next, DURATION, "30s", "1s", "1h", RESTART, PLAIN,                                    \
      "When to ask again, as a poll without news is told (Next-Poll), a tenth more or less.")      \
    K(polls, bytes, BYTES, "256k", "1k", "16m", RESTART, PLAIN,                                    \
      "Bytes of the events in one answer to a poll; an event that is larger comes alone.")

#define TG_CONFIG_PUBLISH(K)                                                                       \
    K(publish, secret, TEXT, "", "0", "1024", RESTART, SECRET,                                     \
      "Signs requests to /sync/v1/publish that carry no service key; empty takes none. At least "  \
      "32 bytes.")                                                                                 \
    K(publish, tolerance, DURATION, "5m", "1s", "1h", RESTART, PLAIN,                              \
      "How far a signature's time may be from the gateway's clock.")                               \
    K(publish, events_max, U32, "100", "1", "1000", RESTART, PLAIN,                                \
      "Events in one request to /sync/v1/publish.")                                                \
    K(publish, once_for, DURATION, "1d", "1m", "30d", RESTART, PLAIN,                              \
      "How long the idempotency key of a published event is remembered.")

#define TG_CONFIG_DEVICES(K)                                                                       \
    K(devices, ttl, DURATION, "30d", "1s", "365d", RESTART, PLAIN,                                 \
      "How long a device is remembered since it was last here.")                                   \
    K(devices, per_user, U32, "20", "1", "1000", RESTART, PLAIN, "Devices of one user.")           \
    K(devices, topics_max, U32, "64", "1", "256", RESTART, PLAIN,                                  \
      "Topics of one device: all that it ever followed and did not leave.")                        \
    K(devices, anonymous_max, U32, "10000", "0", "1000000", RESTART, PLAIN,                        \
      "Devices of callers without a user, over all of them; 0 issues none.")

#define TG_CONFIG_ADMIN(K)                                                                         \
    K(admin, listen, ADDRESS, "127.0.0.1:9090", "", "", RESTART, PLAIN,                            \
      "Where health, metrics and status are served. Anyone who can connect can read them.")

#define TG_CONFIG_LOG(K)                                                                           \
    K(log, level, LEVEL, "info", "", "", LIVE, PLAIN, "The least level that is written.")

/* S(section, keys, what it is about) */
#define TG_CONFIG_SECTIONS(S)                                                                      \
    S(server, TG_CONFIG_SERVER, "The public listener and the process.")                            \
    S(limits, TG_CONFIG_LIMITS, "How large a request may be.")                                     \
    S(timeouts, TG_CONFIG_TIMEOUTS, "How slow a client may be.")                                   \
    S(upstream, TG_CONFIG_UPSTREAM, "HTTP calls to the project.")                                  \
    S(supabase, TG_CONFIG_SUPABASE, "The project behind the gateway.")                             \
    S(auth, TG_CONFIG_AUTH, "Checking of user tokens.")                                            \
    S(cors, TG_CONFIG_CORS, "What browsers may do.")                                               \
    S(store, TG_CONFIG_STORE, "The log of events.")                                                \
    S(gateway, TG_CONFIG_GATEWAY, "This gateway among others.")                                    \
    S(realtime, TG_CONFIG_REALTIME, "The upstream Realtime sockets.")                              \
    S(strict, TG_CONFIG_STRICT, "Table topics, for which Supabase's own policies decide.")         \
    S(index, TG_CONFIG_INDEX, "Rows of the tables behind declared topics.")                        \
    S(access, TG_CONFIG_ACCESS, "Questions who may read a declared topic (authorize).")            \
    S(streams, TG_CONFIG_STREAMS, "Streams to clients.")                                           \
    S(polls, TG_CONFIG_POLLS, "Polls.")                                                            \
    S(publish, TG_CONFIG_PUBLISH, "Events of declared topics, by POST /sync/v1/publish.")          \
    S(devices, TG_CONFIG_DEVICES, "What is remembered of clients that name themselves.")           \
    S(admin, TG_CONFIG_ADMIN, "The operator's port.")                                              \
    S(log, TG_CONFIG_LOG, "What is written about all this.")

#endif
