/* test_rows.c - tables that are followed whole: routing, the index, fills, repairs. */
#include <criterion/criterion.h>

#include "realtime_hub/world.h"

enum { CHAT = 1, MEMBERS = 2, TASK = 3 };

TestSuite(rows, .init = start_tables, .fini = stop);

static uint64_t counted(const tg_count *c)
{
    return tg_count_get(c);
}

#define COUNTS tg_hub_counts(world.hub)
#define ROW(id, key, n) "{\"id\":" #id ",\"trip_id\":\"" key "\",\"n\":" #n ",\"gone\":null}"
#define TOLD(worker, topic, type, table, rest)                                                     \
    "w" #worker " t" #topic " \"" type "\",\"schema\":\"public\",\"table\":\"" table               \
    "\",\"commit_timestamp\":null," rest "}\n"
#define RECORD(id, key, n) "\"record\":{\"id\":" #id ",\"trip_id\":\"" key "\",\"n\":" #n "}"
#define RESET(topic, id) "w0 t" #id " {\"topic\":\"" topic "\",\"reason\":\"gap\"}\n"
#define OLD(id) "\"old_record\":{\"id\":" #id "}"

/* Covered, with these rows in the table. */
static void bring_up_table(uint64_t link, const char *table, const char *rows)
{
    link_up(link);
    read_rows(table, rows);
    read_ends(table, TG_OK);
    forget();
}

/* ---- coverage ---- */

Test(rows, are_followed_from_the_start_on_with_the_service_key)
{
    subscribe("chat:a", 7);
    cr_assert_eq(counted(&COUNTS->feeds), 3);
    cr_assert_eq(world.hub->channels.n, 3);
    unsubscribe("u", "chat:a", 0, 7);
    cr_assert_eq(counted(&COUNTS->feeds), 3);
    cr_assert_eq(counted(&COUNTS->topics), 0);
}

Test(rows, join_their_tables_once)
{
    cr_assert_link("");
    link_down(CHAT, false);
    pass(TG_SEC(31));
    cr_assert_link("");
}

Test(rows, that_upstream_refuses_are_asked_for_again_less_and_less_often)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    link_refuses(CHAT, "Unable to subscribe to changes");
    cr_assert_told("w0 t7 joining subscription\n");
    cr_assert_link("");
    pass(TG_SEC(31));
    cr_assert_link("join 4 public.chat service\n");
    link_refuses(4, "Unable to subscribe to changes");
    pass(TG_SEC(31));
    cr_assert_link("join 4 public.chat service\n");
    pass(TG_SEC(31));
    cr_assert_link("join 4 public.chat service\njoin 5 public.chat service\n");
    link_up(5);
    link_refuses(5, "Unable to subscribe to changes");
    forget();
    pass(TG_SEC(31));
    cr_assert_link("join 6 public.chat service\n");
}

Test(rows, are_covered_when_the_whole_table_is_in_the_index)
{
    subscribe("chat:a", 7);
    link_up(CHAT);
    forget();
    read_rows("chat", "[" ROW(1, "a", 5) "," ROW(2, "b", 6) "]");
    cr_assert_told("");
    read_ends("chat", TG_OK);
    cr_assert_told("w0 t7 ready\n" RESET("chat:a", 7));
    cr_assert_eq(counted(&COUNTS->fills), 1);
    cr_assert_eq(counted(&COUNTS->feeds_live), 1);
}

Test(rows, write_one_gap_for_their_feed_before_changes_that_waited)
{
    subscribe("chat:a", 7);
    forget();
    link_up(CHAT);
    row_changes(CHAT, "INSERT", ROW(3, "a", 1));
    cr_assert_eq(counted(&COUNTS->appended), 0);
    read_rows("chat", "[" ROW(1, "a", 5) "]");
    read_ends("chat", TG_OK);
    cr_assert_eq(counted(&COUNTS->gaps), 1);
    cr_assert_eq(counted(&COUNTS->appended), 1);
    cr_assert_not_null(strstr(world.told, TOLD(0, 7, "INSERT", "chat", RECORD(3, "a", 1))));
}

Test(rows, are_read_again_after_a_read_that_failed)
{
    subscribe("chat:a", 7);
    link_up(CHAT);
    read_rows("chat", "[" ROW(1, "a", 5) "]");
    read_ends("chat", TG_EUPSTREAM);
    cr_assert_null(read_of("chat"));
    pass(TG_SEC(2));
    forget();
    read_rows("chat", "[" ROW(1, "a", 5) "]");
    read_ends("chat", TG_OK);
    cr_assert_told("w0 t7 ready\n" RESET("chat:a", 7));
    cr_assert_eq(counted(&COUNTS->fill_errors), 1);
}

/* Between a client's read and ours a row moves: ours has it where it is, and its change comes late
 * or not at all. */
Test(rows, have_their_gap_behind_the_read)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    subscribe("chat:b", 8);
    link_down(CHAT, false);
    pass(TG_SEC(2));
    forget();
    link_up(CHAT);
    read_rows("chat", "[" ROW(1, "b", 5) "]");
    row_changes(CHAT, "UPDATE", ROW(1, "b", 5));
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->gaps), 1);
    read_ends("chat", TG_OK);
    cr_assert_eq(counted(&COUNTS->gaps), 2);
    cr_assert_not_null(strstr(world.told, RESET("chat:a", 7)));
    cr_assert_not_null(strstr(world.told, RESET("chat:b", 8)));
}

Test(rows, tell_their_topics_when_upstream_goes)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    link_down(CHAT, false);
    cr_assert_told("w0 t7 joining closed\n");
}

/* ---- routing ---- */

Test(rows, go_to_the_topic_of_their_key_alone_cut_to_its_columns)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    subscribe("chat:b", 8);
    forget();
    row_changes(CHAT, "INSERT", "{\"id\":1,\"trip_id\":\"b\",\"n\":9,\"secret\":1,\"gone\":null}");
    cr_assert_told(TOLD(0, 8, "INSERT", "chat", RECORD(1, "b", 9)));
    forget();
    row_changes(CHAT, "UPDATE", ROW(1, "b", 10));
    cr_assert_told(TOLD(0, 8, "UPDATE", "chat", RECORD(1, "b", 10) "," OLD(1)));
}

Test(rows, are_logged_while_nobody_is_interested)
{
    bring_up_table(CHAT, "chat", "[]");
    row_changes(CHAT, "INSERT", ROW(1, "a", 5));
    cr_assert_eq(counted(&COUNTS->appended), 1);
    cr_assert_told("");
}

Test(rows, whose_primary_key_changes_are_one_that_goes_and_one_that_comes)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    row_key_changes(CHAT, ROW(2, "a", 5), "{\"id\":1}");
    cr_assert_told(TOLD(0, 7, "DELETE", "chat", OLD(1))
                       TOLD(0, 7, "INSERT", "chat", RECORD(2, "a", 5)));
    forget();
    row_changes(CHAT, "DELETE", "{\"id\":2}");
    cr_assert_told(TOLD(0, 7, "DELETE", "chat", OLD(2)));
}

Test(rows, whose_primary_key_changes_during_a_read_are_told_as_gone_behind_it)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    link_down(CHAT, false);
    pass(TG_SEC(2));
    link_up(CHAT);
    row_key_changes(CHAT, ROW(2, "a", 5), "{\"id\":1}");
    forget();
    read_rows("chat", "[" ROW(2, "a", 5) "]");
    read_ends("chat", TG_OK);
    cr_assert_not_null(strstr(world.told, TOLD(0, 7, "DELETE", "chat", OLD(1))
                                              TOLD(0, 7, "INSERT", "chat", RECORD(2, "a", 5))),
                       "%s", world.told);
}

Test(rows, whose_old_primary_key_nobody_knew_are_a_gap)
{
    bring_up_table(CHAT, "chat", "[]");
    row_key_changes(CHAT, ROW(2, "a", 5), "{\"id\":1}");
    cr_assert_eq(counted(&COUNTS->gaps), 2, "one of the join");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 1);
}

Test(rows, that_are_deleted_leave_the_topic_that_they_were_in)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "," ROW(2, "b", 6) "]");
    subscribe("chat:a", 7);
    subscribe("chat:b", 8);
    forget();
    row_changes(CHAT, "DELETE", "{\"id\":2}");
    cr_assert_told(TOLD(0, 8, "DELETE", "chat", OLD(2)));
}

Test(rows, that_get_another_key_move)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    subscribe("chat:b", 8);
    forget();
    row_changes(CHAT, "UPDATE", ROW(1, "b", 5));
    cr_assert_told(TOLD(0, 7, "DELETE", "chat", OLD(1) ",\"moved\":true")
                       TOLD(0, 8, "INSERT", "chat", RECORD(1, "b", 5)));
}

Test(rows, that_leave_the_condition_are_gone_and_come_back_as_new)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "UPDATE", "{\"id\":1,\"trip_id\":\"a\",\"n\":5,\"gone\":\"now\"}");
    cr_assert_told(TOLD(0, 7, "DELETE", "chat", OLD(1)));
    forget();
    row_changes(CHAT, "UPDATE", ROW(1, "a", 6));
    cr_assert_told(TOLD(0, 7, "INSERT", "chat", RECORD(1, "a", 6)));
}

Test(rows, outside_the_condition_are_deleted_in_silence)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "INSERT", "{\"id\":1,\"trip_id\":\"a\",\"n\":5,\"gone\":\"now\"}");
    row_changes(CHAT, "DELETE", "{\"id\":1}");
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
}

Test(rows, that_nobody_knew_are_a_gap_when_they_go_at_most_one_in_a_while)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    for (int i = 0; i < 3; i++) {
        row_changes(CHAT, "DELETE", "{\"id\":77}");
    }
    cr_assert_eq(counted(&COUNTS->gaps), 2, "one of the join");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 3);
    pass(TG_SEC(11));
    cr_assert_eq(counted(&COUNTS->gaps), 3);
}

Test(rows, keep_their_digits)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "INSERT",
                "{\"id\":9007199254740993,\"trip_id\":\"a\",\"n\":1.10,\"gone\":null}");
    cr_assert_told(TOLD(0, 7, "INSERT", "chat", RECORD(9007199254740993, "a", 1.10)));
}

/* ---- records that were cut short ---- */

Test(rows, that_came_without_all_columns_are_read_again)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "UPDATE", "{\"id\":1,\"trip_id\":\"a\",\"gone\":null}");
    row_changes(CHAT, "INSERT", ROW(2, "a", 1));
    cr_assert_told("");
    cr_assert_str_eq(read_of("chat")->filter, "id=in.(%221%22)");
    read_rows("chat", "[" ROW(1, "a", 8) "]");
    read_ends("chat", TG_OK);
    cr_assert_told(TOLD(0, 7, "UPDATE", "chat", RECORD(1, "a", 8) "," OLD(1))
                       TOLD(0, 7, "INSERT", "chat", RECORD(2, "a", 1)));
}

Test(rows, that_cannot_be_read_again_are_told_in_part)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "UPDATE", "{\"id\":1,\"trip_id\":\"a\",\"gone\":null}");
    read_ends("chat", TG_EUPSTREAM);
    cr_assert_told(TOLD(0, 7, "UPDATE", "chat",
                        "\"record\":{\"id\":1,\"trip_id\":\"a\"}," OLD(1) ",\"partial\":true"));
    cr_assert_eq(counted(&COUNTS->rows_partial), 1);
}

Test(rows, that_nobody_can_be_asked_for_are_told_in_part)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    world.read_rc = TG_EBUSY;
    row_changes(CHAT, "UPDATE", "{\"id\":1,\"trip_id\":\"a\",\"gone\":null}");
    cr_assert_told(TOLD(0, 7, "UPDATE", "chat",
                        "\"record\":{\"id\":1,\"trip_id\":\"a\"}," OLD(1) ",\"partial\":true"));
    cr_assert_eq(counted(&COUNTS->rows_partial), 1);
}

Test(rows, that_are_gone_before_they_could_be_read_again_are_no_riddle)
{
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    row_changes(CHAT, "INSERT", "{\"id\":1,\"trip_id\":\"a\",\"gone\":null}");
    read_ends("chat", TG_OK);
    row_changes(CHAT, "DELETE", "{\"id\":1}");
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
}

/* ---- repairs ---- */

/* A number that the index keeps for a row. */
static const char *stored(const char *pk)
{
    const char *value = kept_row("task", pk);

    return value == NULL ? "none" : value + 17;
}

Test(rows, are_noted_the_first_time_behind_a_gap)
{
    subscribe("task:a", 7);
    forget();
    link_up(TASK);
    read_rows("tasks", "[" ROW(1, "a", 5) "," ROW(2, "b", 6) "]");
    read_ends("tasks", TG_OK);
    cr_assert_eq(counted(&COUNTS->gaps), 1);
    cr_assert_eq(counted(&COUNTS->appended), 0);
    cr_assert_str_eq(stored("[1]"), "a");
    cr_assert_str_eq(stored("[2]"), "b");
    cr_assert_not_null(kept_row("task", "whole"));
}

Test(rows, go_into_the_stored_index_with_their_event)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    row_changes(TASK, "INSERT", ROW(2, "b", 6));
    row_changes(TASK, "UPDATE", ROW(1, "c", 5));
    cr_assert_str_eq(stored("[1]"), "c");
    cr_assert_str_eq(stored("[2]"), "b");
    row_changes(TASK, "DELETE", "{\"id\":2}");
    cr_assert_str_eq(stored("[2]"), "none");
}

Test(rows, that_differ_after_a_loss_are_repaired_without_a_gap)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 6) "," ROW(3, "a", 7) "]");
    subscribe("task:a", 7);
    link_down(TASK, false);
    pass(TG_SEC(2));
    forget();
    link_up(TASK);
    row_changes(TASK, "INSERT", ROW(5, "a", 9));
    cr_assert_told("");
    read_rows("tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 66) "," ROW(4, "a", 8) "]");
    read_ends("tasks", TG_OK);
    cr_assert_eq(counted(&COUNTS->gaps), 1, "the first");
    cr_assert_eq(counted(&COUNTS->repaired_inserts), 1);
    cr_assert_eq(counted(&COUNTS->repaired_updates), 1);
    cr_assert_eq(counted(&COUNTS->repaired_deletes), 1);
    cr_assert_not_null(strstr(world.told, RECORD(2, "a", 66) "," OLD(2) ",\"repaired\":true}"));
    cr_assert_not_null(strstr(world.told, RECORD(4, "a", 8) ",\"repaired\":true}"));
    cr_assert_not_null(strstr(world.told, OLD(3) ",\"repaired\":true}"));
    cr_assert_lt(strstr(world.told, OLD(3)), strstr(world.told, RECORD(5, "a", 9)));
}

/* A row whose DELETE was found by a read, and is told of nothing since. */
static void repair_a_delete(void)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 6) "]");
    subscribe("task:a", 7);
    link_down(TASK, false);
    pass(TG_SEC(2));
    link_up(TASK);
    read_rows("tasks", "[" ROW(1, "a", 5) "]");
    read_ends("tasks", TG_OK);
    cr_assert_eq(counted(&COUNTS->repaired_deletes), 1);
    forget();
}

static void compare_all(void)
{
    pass(TG_SEC(301));
    read_rows("tasks", "[" ROW(1, "a", 5) "]");
    read_ends("tasks", TG_OK);
    pass(TG_SEC(6));
}

Test(rows, whose_delete_was_repaired_are_no_riddle_when_upstream_tells_it_late)
{
    repair_a_delete();
    row_changes(TASK, "DELETE", "{\"id\":2}");
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
    cr_assert_eq(counted(&COUNTS->gaps), 1, "the first");
    row_changes(TASK, "DELETE", "{\"id\":2}");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 1, "once");
}

Test(rows, whose_delete_was_repaired_are_known_for_two_reads_that_find_no_difference)
{
    repair_a_delete();
    compare_all();
    row_changes(TASK, "DELETE", "{\"id\":2}");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
    stop();
    start_tables();
    repair_a_delete();
    compare_all();
    compare_all();
    cr_assert_eq(counted(&COUNTS->verifies), 2);
    cr_assert_eq(counted(&COUNTS->verify_differences), 0);
    row_changes(TASK, "DELETE", "{\"id\":2}");
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 1, "forgotten");
}

Test(rows, whose_delete_was_repaired_may_come_again)
{
    repair_a_delete();
    row_changes(TASK, "INSERT", ROW(2, "a", 6));
    cr_assert_told(TOLD(0, 7, "INSERT", "tasks", RECORD(2, "a", 6)));
}

Test(rows, that_changed_during_a_read_are_left_to_their_change)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    subscribe("task:a", 7);
    link_down(TASK, false);
    pass(TG_SEC(2));
    link_up(TASK);
    forget();
    row_changes(TASK, "UPDATE", ROW(1, "a", 6));
    read_rows("tasks", "[" ROW(1, "a", 5) "]");
    read_ends("tasks", TG_OK);
    cr_assert_told("w0 t7 ready\n" TOLD(0, 7, "UPDATE", "tasks", RECORD(1, "a", 6) "," OLD(1)));
    cr_assert_eq(counted(&COUNTS->repaired_updates), 0);
}

Test(rows, are_compared_with_what_the_store_says_when_the_lease_was_away)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 6) "]");
    subscribe("task:a", 7);
    store_down();
    pass(TG_SEC(2));
    keep_row("task", "[2]", ""); /* another gateway told that it was deleted */
    store_up(false);
    forget();
    read_rows("tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 6) "]");
    read_ends("tasks", TG_OK);
    cr_assert_not_null(strstr(world.told, RECORD(2, "a", 6) ",\"repaired\":true}"));
    cr_assert_eq(counted(&COUNTS->repaired_inserts), 1);
    cr_assert_eq(counted(&COUNTS->repaired_updates), 0);
}

Test(rows, whose_event_did_not_get_into_the_log_are_repaired)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    subscribe("task:a", 7);
    pass(TG_SEC(2));
    world.answer_rc = TG_ETIMEDOUT;
    row_changes(TASK, "INSERT", ROW(2, "a", 6));
    world.answer_rc = TG_OK;
    pass(TG_SEC(3));
    forget();
    read_rows("tasks", "[" ROW(1, "a", 5) "," ROW(2, "a", 6) "]");
    read_ends("tasks", TG_OK);
    cr_assert_not_null(strstr(world.told, RECORD(2, "a", 6) ",\"repaired\":true}"));
    cr_assert_eq(counted(&COUNTS->gaps), 1, "the first");
}

Test(rows, are_compared_from_time_to_time_and_repaired_when_they_still_differ)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    subscribe("task:a", 7);
    pass(TG_SEC(301));
    forget();
    read_rows("tasks", "[" ROW(1, "a", 6) "]");
    read_ends("tasks", TG_OK);
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->verifies), 1);
    pass(TG_SEC(6));
    cr_assert_eq(counted(&COUNTS->verify_differences), 1);
    read_rows("tasks", "[" ROW(1, "a", 6) "]");
    read_ends("tasks", TG_OK);
    cr_assert_not_null(strstr(world.told, RECORD(1, "a", 6) "," OLD(1) ",\"repaired\":true}"));
}

Test(rows, whose_change_comes_a_little_late_do_not_differ)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    pass(TG_SEC(301));
    read_rows("tasks", "[" ROW(1, "a", 6) "]");
    read_ends("tasks", TG_OK);
    row_changes(TASK, "UPDATE", ROW(1, "a", 6));
    pass(TG_SEC(6));
    cr_assert_eq(counted(&COUNTS->verify_differences), 0);
    cr_assert_null(read_of("tasks"));
}

Test(rows, whose_primary_key_changes_a_little_late_do_not_differ)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    pass(TG_SEC(301));
    read_rows("tasks", "[" ROW(2, "a", 5) "]");
    read_ends("tasks", TG_OK);
    row_key_changes(TASK, ROW(2, "a", 5), "{\"id\":1}");
    pass(TG_SEC(6));
    cr_assert_eq(counted(&COUNTS->verify_differences), 0);
}

Test(rows, are_compared_when_the_projects_rate_was_near)
{
    bring_up_table(TASK, "tasks", "[" ROW(1, "a", 5) "]");
    world.link.on_rate(world.link_arg);
    turn();
    cr_assert_null(read_of("tasks"));
    pass(TG_SEC(6));
    world.link.on_rate(world.link_arg); /* what is under way began before */
    turn();
    read_rows("tasks", "[" ROW(1, "a", 5) "]");
    read_ends("tasks", TG_OK);
    cr_assert_eq(counted(&COUNTS->verifies), 1);
    pass(TG_SEC(6));
    read_rows("tasks", "[" ROW(1, "a", 5) "]");
    read_ends("tasks", TG_OK);
    cr_assert_eq(counted(&COUNTS->verifies), 2);
    cr_assert_eq(counted(&COUNTS->gaps), 1, "of the join");
    pass(TG_SEC(100));
    cr_assert_null(read_of("tasks"));
}

Test(rows, that_cannot_be_compared_have_a_gap_when_the_projects_rate_was_near)
{
    bring_up_table(CHAT, "chat", "[" ROW(1, "a", 5) "]");
    subscribe("chat:a", 7);
    forget();
    world.link.on_rate(world.link_arg);
    pass(TG_SEC(2));
    read_rows("chat", "[" ROW(1, "a", 5) "]");
    read_ends("chat", TG_OK);
    cr_assert_told(RESET("chat:a", 7));
}

/* ---- access ---- */

#define MEMBER(trip, user) "{\"trip_id\":\"" trip "\",\"user_id\":\"" user "\",\"role\":\"x\"}"
#define ACCESS(key, user)                                                                          \
    "w0 access chat " key " " user "\nw1 access chat " key " " user "\nw0 access task " key        \
    " " user "\nw1 access task " key " " user "\n"

#define EVERYBODY ACCESS("", "")

/* Who may read changed between the question and the read, and upstream tells of it late. */
Test(rows, of_members_that_differ_when_they_are_read_have_everybody_asked_again)
{
    bring_up_table(MEMBERS, "members", "[" MEMBER("a", "u") "," MEMBER("a", "v") "]");
    for (int i = 0; i < 3; i++) {
        static const char *const rows[] = {"[" MEMBER("a", "u") "," MEMBER("a", "v") "]",
                                           "[" MEMBER("a", "u") "," MEMBER("a", "w") "]",
                                           "[" MEMBER("a", "u") "]"};

        link_down(MEMBERS, false);
        pass(TG_SEC(2));
        forget();
        link_up(MEMBERS);
        cr_assert_told(EVERYBODY);
        read_rows("members", rows[i]);
        read_ends("members", TG_OK);
        cr_assert_told(i == 0 ? EVERYBODY : EVERYBODY EVERYBODY);
    }
}

Test(rows, of_members_name_whose_access_may_have_changed)
{
    bring_up_table(MEMBERS, "members", "[" MEMBER("a", "u") "]");
    row_changes(MEMBERS, "INSERT", MEMBER("b", "v"));
    cr_assert_told(ACCESS("b", "v"));
    forget();
    row_changes(MEMBERS, "DELETE", "{\"trip_id\":\"a\",\"user_id\":\"u\"}");
    cr_assert_told(ACCESS("a", "u"));
}

Test(rows, of_members_that_are_given_to_somebody_else_name_both)
{
    bring_up_table(MEMBERS, "members", "[" MEMBER("a", "u") "]");
    row_key_changes(MEMBERS, MEMBER("a", "v"), "{\"trip_id\":\"a\",\"user_id\":\"u\"}");
    cr_assert_told(ACCESS("a", "u") ACCESS("a", "v"));
    forget();
    row_changes(MEMBERS, "DELETE", "{\"trip_id\":\"a\",\"user_id\":\"v\"}");
    cr_assert_told(ACCESS("a", "v"));
}

Test(rows, of_members_that_nobody_knew_mean_everybody)
{
    bring_up_table(MEMBERS, "members", "[]");
    row_changes(MEMBERS, "DELETE", "{\"trip_id\":\"x\",\"user_id\":\"y\"}");
    cr_assert_told(ACCESS("", ""));
}

Test(rows, of_members_mean_everybody_when_something_was_lost)
{
    bring_up_table(MEMBERS, "members", "[]");
    link_down(MEMBERS, false);
    pass(TG_SEC(2));
    forget();
    link_up(MEMBERS);
    cr_assert_told(ACCESS("", ""));
}

Test(rows, of_members_are_watched_while_they_are_covered)
{
    link_up(MEMBERS);
    forget();
    read_ends("members", TG_OK);
    pass(TG_MS(250));
    cr_assert_told("w0 watched chat\nw1 watched chat\nw0 watched task\nw1 watched task\n");
    forget();
    link_down(MEMBERS, false);
    pass(TG_MS(250));
    cr_assert_told("w0 unwatched chat\nw1 unwatched chat\nw0 unwatched task\nw1 unwatched task\n");
}

Test(rows, of_members_reach_a_worker_before_what_follows_or_it_asks_for_everybody)
{
    bring_up_table(MEMBERS, "members", "[]");
    bring_up_table(CHAT, "chat", "[]");
    subscribe("chat:a", 7);
    forget();
    world.workers_are_full = true;
    row_changes(MEMBERS, "INSERT", MEMBER("a", "v"));
    row_changes(CHAT, "INSERT", ROW(1, "a", 5));
    cr_assert_told("");
    world.workers_are_full = false;
    pass(TG_MS(250));
    cr_assert_not_null(strstr(world.told, "w0 access   \nw0 cut\n"), "%s", world.told);
}
