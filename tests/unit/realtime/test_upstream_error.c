/* test_upstream_error.c - every row of the table of what Realtime can say against us, in the words
 * of reference/realtime-protocol.md 2.2, 4.3, 4.5, 4.6 and 6. */
#include <criterion/criterion.h>

#include "realtime/upstream_error.h"

static void sorted(const char *words, const char *cause, enum tg_upstream_class class)
{
    enum tg_upstream_cause got = tg_upstream_words(tg_str_of(words));

    cr_assert_str_eq(tg_upstream_word(got), cause, "%s is %s", words, tg_upstream_word(got));
    cr_assert_eq(tg_upstream_class(got), class, "%s", words);
}

Test(upstream_error, of_a_join_that_may_go_well_the_next_time_is_tried_again)
{
    static const char *const database[] = {
        "IncreaseConnectionPool: Please increase your connection pool size",
        "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect",
        "DatabaseConnectionRateLimitReached: Too many database connections attempts per second",
        "InitializingProjectConnection: Realtime is initializing the project connection",
        "InitializingProjectConnection: Connecting to the project database",
        "UnableToConnectToProject: Realtime was unable to connect to the project database",
        "Realtime was unable to connect to the project database",
        "QueryCanceled: Query was cancelled, please try again",
        "MissingPartition: Realtime was unable to find the expected messages partition",
        "PostgresChangesSubscribeTimeout: Timed out after 15000ms waiting"};

    for (size_t i = 0; i < TG_ARRAY_LEN(database); i++) {
        sorted(database[i], "database", TG_UPSTREAM_RETRY);
    }
    sorted("RealtimeRestarting: Realtime is restarting, please standby", "restarting",
           TG_UPSTREAM_RETRY);
    sorted("TimeoutOnRpcCall: Node request timeout", "cluster", TG_UPSTREAM_RETRY);
    sorted("ErrorOnRpcCall: RPC call error: :nodedown", "cluster", TG_UPSTREAM_RETRY);
    sorted("MusterJoinError: x", "cluster", TG_UPSTREAM_RETRY);
    sorted("Unknown Error on Channel", "crashed", TG_UPSTREAM_RETRY);
    sorted("UnknownErrorOnChannel: boom", "crashed", TG_UPSTREAM_RETRY);
    sorted("join crashed", "crashed", TG_UPSTREAM_RETRY);
    sorted("channel_crash", "crashed", TG_UPSTREAM_RETRY);
    sorted("unmatched topic", "unmatched", TG_UPSTREAM_RETRY);
    sorted("Error connecting to Realtime", "unreachable", TG_UPSTREAM_RETRY);
}

Test(upstream_error, about_the_projects_limits_holds_the_socket_back)
{
    sorted("ConnectionRateLimitReached: Too many connected users", "connections",
           TG_UPSTREAM_BACK_OFF);
    sorted("Too many connected users", "connections", TG_UPSTREAM_BACK_OFF);
    sorted("ClientJoinRateLimitReached: Too many joins per second", "join_rate",
           TG_UPSTREAM_BACK_OFF);
    sorted("Too many joins per second", "join_rate", TG_UPSTREAM_BACK_OFF);
    sorted("Too many messages per second", "message_rate", TG_UPSTREAM_BACK_OFF);
}

Test(upstream_error, about_the_sockets_channels_wants_another_socket)
{
    sorted("ChannelRateLimitReached: Too many channels", "channels", TG_UPSTREAM_MOVE);
    sorted("Too many channels", "channels", TG_UPSTREAM_MOVE);
}

Test(upstream_error, about_the_token_wants_another_one)
{
    static const char *const token[] = {
        "InvalidJWTToken: Fields `role` and `exp` are required in JWT",
        "InvalidJWTToken: Token expiration time is invalid",
        "MalformedJWT: The token provided is not a valid JWT",
        "JwtSignatureError: Failed to validate JWT signature",
        "JwtSignerError: Failed to generate JWT signer, check your JWT secret",
        "Fields `role` and `exp` are required in JWT",
        "Token expiration time is invalid",
        "The token provided is not a valid JWT",
        "Failed to validate JWT signature",
        "Failed to generate JWT signer, check your JWT secret or JWKS configuration"};

    for (size_t i = 0; i < TG_ARRAY_LEN(token); i++) {
        sorted(token[i], "token", TG_UPSTREAM_TOKEN);
    }
    sorted("InvalidJWTToken: Token has expired 12 seconds ago", "token_expired", TG_UPSTREAM_TOKEN);
    sorted("InvalidJWTExpiration: Token has expired", "token_expired", TG_UPSTREAM_TOKEN);
    sorted("Token has expired 3 seconds ago", "token_expired", TG_UPSTREAM_TOKEN);
}

Test(upstream_error, that_nothing_of_ours_can_mend_is_given_up)
{
    sorted("TopicNameRequired: You must provide a topic name", "topic", TG_UPSTREAM_GIVE_UP);
    sorted("TenantNotFound: Tenant with the given ID does not exist", "tenant",
           TG_UPSTREAM_GIVE_UP);
    sorted("Tenant not found", "tenant", TG_UPSTREAM_GIVE_UP);
    sorted("RealtimeDisabledForTenant: Realtime disabled for this tenant", "disabled",
           TG_UPSTREAM_GIVE_UP);
    sorted("Realtime was disabled for this tenant", "disabled", TG_UPSTREAM_GIVE_UP);
    sorted("PrivateOnly: This project only allows private channels", "private_only",
           TG_UPSTREAM_GIVE_UP);
    sorted("API key is missing", "api_key", TG_UPSTREAM_GIVE_UP);
    sorted("Unauthorized: You do not have permissions to read from this Channel topic: x",
           "forbidden", TG_UPSTREAM_GIVE_UP);
    sorted("You do not have permissions to read from this Channel topic: x", "forbidden",
           TG_UPSTREAM_GIVE_UP);
    sorted("You no longer have permission to read from this Channel topic: x", "forbidden",
           TG_UPSTREAM_GIVE_UP);
    sorted("UnableToReplayMessages: Replay params are not valid", "replay", TG_UPSTREAM_GIVE_UP);
}

Test(upstream_error, of_a_subscription_is_final_but_for_inspected_terms)
{
    sorted("Unable to subscribe to changes with given parameters. Please check Realtime is "
           "enabled for the given connect parameters: [event: INSERT, schema: public]",
           "subscription", TG_UPSTREAM_GIVE_UP);
    sorted("RealtimeDisabledForConfiguration: Unable to subscribe to changes", "subscription",
           TG_UPSTREAM_GIVE_UP);
    sorted("Error parsing `filter` params: [\"foo\", \"hey\"]", "filter", TG_UPSTREAM_GIVE_UP);
    sorted("Error parsing `select` params: expected a list", "filter", TG_UPSTREAM_GIVE_UP);
    sorted("Column selection is not supported for wildcard subscriptions. x", "filter",
           TG_UPSTREAM_GIVE_UP);
    sorted("No subscription params provided. Please provide at least a `schema`", "filter",
           TG_UPSTREAM_GIVE_UP);
    sorted("{:error, \"Too many database timeouts\"}", "database", TG_UPSTREAM_RETRY);
}

Test(upstream_error, of_a_channel_is_followed_by_its_end)
{
    sorted("Too many presence messages per second", "presence", TG_UPSTREAM_RETRY);
    sorted("Client presence rate limit exceeded", "presence", TG_UPSTREAM_RETRY);
    sorted("Track message size exceeded", "presence", TG_UPSTREAM_RETRY);
    sorted("Query was cancelled, please try again", "database", TG_UPSTREAM_RETRY);
    sorted("Replication connection was not established in time", "database", TG_UPSTREAM_RETRY);
    sorted("Server requested disconnect", "restarting", TG_UPSTREAM_RETRY);
}

Test(upstream_error, that_nobody_knows_is_tried_again)
{
    sorted("", "unknown", TG_UPSTREAM_RETRY);
    sorted("something new", "unknown", TG_UPSTREAM_RETRY);
    sorted("{}", "unknown", TG_UPSTREAM_RETRY);
    sorted("7", "unknown", TG_UPSTREAM_RETRY);
}

Test(upstream_error, is_known_as_json_and_behind_a_code_that_is_not)
{
    sorted("{\"reason\":\"PrivateOnly: This project\"}", "private_only", TG_UPSTREAM_GIVE_UP);
    sorted("{\"reason\": \"PrivateOnly\"}", "private_only", TG_UPSTREAM_GIVE_UP);
    sorted("\"Token has expired 3 seconds ago\"", "token_expired", TG_UPSTREAM_TOKEN);
    sorted("SomethingNewer: Unable to subscribe to changes", "subscription", TG_UPSTREAM_GIVE_UP);
}

Test(upstream_error, is_not_sorted_by_what_a_user_wrote)
{
    sorted("Unable to subscribe to changes with given parameters: [filters: title=eq.InvalidJWT]",
           "subscription", TG_UPSTREAM_GIVE_UP);
    sorted("Error parsing `filter` params: [\"Too many channels\"]", "filter", TG_UPSTREAM_GIVE_UP);
    sorted("something new about title=eq.Unauthorized: PrivateOnly", "unknown", TG_UPSTREAM_RETRY);
}

static void has_cause(enum tg_upstream_cause got, const char *cause, enum tg_upstream_class class)
{
    cr_assert_str_eq(tg_upstream_word(got), cause);
    cr_assert_eq(tg_upstream_class(got), class);
}

Test(upstream_error, of_an_upgrade_is_its_status)
{
    has_cause(tg_upstream_upgrade(401), "api_key", TG_UPSTREAM_GIVE_UP);
    has_cause(tg_upstream_upgrade(403), "disabled", TG_UPSTREAM_GIVE_UP);
    has_cause(tg_upstream_upgrade(404), "tenant", TG_UPSTREAM_GIVE_UP);
    has_cause(tg_upstream_upgrade(429), "connections", TG_UPSTREAM_BACK_OFF);
    has_cause(tg_upstream_upgrade(500), "unreachable", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_upgrade(502), "unreachable", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_upgrade(0), "unreachable", TG_UPSTREAM_RETRY);
}

Test(upstream_error, of_a_socket_is_its_close_code)
{
    has_cause(tg_upstream_close(1000), "silent", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(1001), "join_rate", TG_UPSTREAM_BACK_OFF);
    has_cause(tg_upstream_close(1011), "crashed", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(1012), "restarting", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(1002), "socket", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(1006), "socket", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(1009), "socket", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(4001), "socket", TG_UPSTREAM_RETRY);
    has_cause(tg_upstream_close(0), "socket", TG_UPSTREAM_RETRY);
}

Test(upstream_error, is_told_with_a_result_that_says_whether_to_ask_again)
{
    for (unsigned i = TG_UP_NONE + 1; i < TG_UP_CAUSES; i++) {
        enum tg_upstream_cause cause = (enum tg_upstream_cause)i;
        bool is_final = tg_upstream_class(cause) == TG_UPSTREAM_GIVE_UP;

        cr_assert_neq(tg_upstream_word(cause)[0], '\0');
        cr_assert_neq(tg_upstream_rc(cause), TG_OK);
        cr_assert(!is_final || !tg_rc_is_retryable(tg_upstream_rc(cause)), "%s",
                  tg_upstream_word(cause));
        for (unsigned j = i + 1; j < TG_UP_CAUSES; j++) {
            cr_assert_str_neq(tg_upstream_word(cause), tg_upstream_word((enum tg_upstream_cause)j));
        }
    }
    cr_assert_str_eq(tg_upstream_class_name(TG_UPSTREAM_RETRY), "retry");
    cr_assert_str_eq(tg_upstream_class_name(TG_UPSTREAM_BACK_OFF), "back_off");
    cr_assert_str_eq(tg_upstream_class_name(TG_UPSTREAM_MOVE), "move");
    cr_assert_str_eq(tg_upstream_class_name(TG_UPSTREAM_TOKEN), "token");
    cr_assert_str_eq(tg_upstream_class_name(TG_UPSTREAM_GIVE_UP), "give_up");
}
