/* test_class.c - a strict topic whose table has `catchup`: its class is told what it missed. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime_hub/world.h"

#define KEPT "table:public.kept"
#define COUNTS tg_hub_counts(world.hub)

static void begin(void)
{
    start();
    world.tells_json = true;
    world.holds_reads = true;
}

TestSuite(class, .init = begin, .fini = stop);

#define ROW(id, at) "{\"id\":" #id ",\"at\":" #at "}"
#define TOLD(type, rest)                                                                           \
    "w0 t7 \"" type "\",\"schema\":\"public\",\"table\":\"kept\",\"commit_timestamp\":null," rest  \
    "}\n"
#define INSERTED(id, at) TOLD("INSERT", "\"record\":" ROW(id, at))
#define DELETED(id) TOLD("DELETE", "\"old_record\":{\"id\":" #id "}")
#define RESET "w0 t7 {\"topic\":\"table:public.kept\",\"reason\":\"gap\"}\n"
#define GAP "w0 t7 ready\n" RESET

static uint64_t counted(const tg_count *c)
{
    return tg_count_get(c);
}

static const char *kept(const char *pk)
{
    return kept_row("u|" KEPT, pk);
}

/* Read to its end, as one who can see these rows. */
static void read_all(const char *rows)
{
    read_rows("kept", rows);
    read_ends("kept", TG_OK);
}

/* Live; the first time there is a gap behind the read. */
static void live(const char *rows)
{
    subscribe(KEPT, 7);
    link_up(1);
    read_all(rows);
    forget();
}

/* Upstream was away. */
static void lose(void)
{
    link_down(1, false);
    pass(TG_SEC(2));
    forget();
    link_up(1);
}

/* ---- what is read ---- */

Test(class, is_read_as_the_user_by_the_column_that_every_write_changes)
{
    subscribe(KEPT ":name=eq.\"x, y\"", 7);
    link_up(1);
    cr_assert_str_eq(read_of("kept")->bearer, "jwt-3600");
    cr_assert_str_eq(read_of("kept")->filter, "name=eq.x%2C%20y");
    cr_assert_str_eq(read_of("kept")->columns, "at");
}

Test(class, is_covered_by_a_gap_behind_the_first_read)
{
    subscribe(KEPT, 7);
    forget();
    link_up(1);
    row_changes(1, "INSERT", ROW(4, 9));
    read_rows("kept", "[" ROW(1, 5) "]");
    cr_assert_told("");
    read_ends("kept", TG_OK);
    cr_assert_told(GAP INSERTED(4, 9));
    cr_assert_not_null(kept("[1]"));
    cr_assert_not_null(kept("[4]"));
    cr_assert_not_null(kept("whole"));
    cr_assert_eq(counted(&COUNTS->gaps), 1);
}

Test(class, is_told_what_it_missed_and_its_rows_are_read_whole_for_it)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "," ROW(3, 5) "]");
    lose();
    read_all("[" ROW(1, 5) "," ROW(2, 6) "," ROW(4, 7) "]");
    cr_assert_str_eq(read_of("kept")->columns, "*");
    cr_assert_str_eq(read_of("kept")->bearer, "jwt-3600");
    cr_assert_not_null(strstr(read_of("kept")->filter, "id=in.("));
    cr_assert_not_null(strstr(read_of("kept")->filter, "%222%22"));
    cr_assert_not_null(strstr(read_of("kept")->filter, "%224%22"));
    cr_assert_null(strstr(read_of("kept")->filter, "%221%22"));
    read_all("[{\"id\":2,\"at\":6,\"n\":1.10},{\"id\":4,\"at\":7,\"n\":2}]");
    cr_assert_not_null(strstr(
        world.told,
        "\"record\":{\"id\":2,\"at\":6,\"n\":1.10},\"old_record\":{\"id\":2},\"repaired\":true}"));
    cr_assert_not_null(
        strstr(world.told, "\"record\":{\"id\":4,\"at\":7,\"n\":2},\"repaired\":true}"));
    cr_assert_not_null(strstr(world.told, "\"old_record\":{\"id\":3},\"repaired\":true}"));
    cr_assert_not_null(strstr(world.told, "w0 t7 ready\n"));
    cr_assert_null(strstr(world.told, "gap"));
    cr_assert_null(kept("[3]"));
    cr_assert_not_null(kept("[4]"));
}

Test(class, asks_for_rows_within_the_topics_filter)
{
    subscribe(KEPT ":name=eq.x", 7);
    link_up(1);
    read_all("[]");
    lose();
    read_all("[" ROW(2, 6) "]");
    cr_assert_str_eq(read_of("kept")->filter, "name=eq.x&id=in.(%222%22)");
}

Test(class, is_told_of_the_end_of_a_row_that_went_between_two_reads)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "]");
    lose();
    read_all("[" ROW(1, 6) "," ROW(2, 5) "," ROW(3, 6) "]");
    read_all("[]");
    cr_assert_not_null(strstr(world.told, "\"old_record\":{\"id\":1},\"repaired\":true}"));
    cr_assert_null(strstr(world.told, "\"id\":3"), "which it had not heard of");
}

Test(class, is_told_by_the_change_what_changed_while_the_rows_are_read)
{
    live("[" ROW(1, 5) "]");
    lose();
    read_all("[" ROW(1, 6) "," ROW(2, 6) "]");
    row_changes(1, "INSERT", ROW(2, 6));
    row_changes(1, "DELETE", "{\"id\":1}");
    cr_assert_null(strstr(world.told, "\"id\":2"));
    read_all("[" ROW(1, 6) "," ROW(2, 6) "]");
    cr_assert_told("w0 t7 ready\n" INSERTED(2, 6) DELETED(1));
}

Test(class, is_told_every_write_of_a_transaction_that_came_while_it_was_read)
{
    live("[" ROW(1, 5) "]");
    lose();
    row_changes(1, "UPDATE", "{\"id\":1,\"at\":6,\"n\":1}");
    row_changes(1, "UPDATE", "{\"id\":1,\"at\":6,\"n\":2}");
    read_all("[" ROW(1, 6) "]");
    cr_assert_not_null(strstr(world.told, "\"n\":1}"));
    cr_assert_not_null(strstr(world.told, "\"n\":2}"));
}

Test(class, comes_back_to_what_the_store_knows_of_it)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "]");
    row_changes(1, "DELETE", "{\"id\":2}");
    store_down();
    forget();
    store_up(false);
    pass(TG_SEC(2));
    read_all("[" ROW(1, 5) "]");
    cr_assert_told("w0 t7 ready\n");
}

/* ---- changes ---- */

Test(class, hears_of_changes_as_upstream_tells_them)
{
    live("[" ROW(1, 5) "]");
    row_key_changes(1, ROW(1, 6), "{\"id\":1,\"secret\":2}");
    row_key_changes(1, ROW(2, 6), "{\"id\":2}");
    cr_assert_told(TOLD("UPDATE", "\"record\":" ROW(1, 6) ",\"old_record\":{\"id\":1}")
                       TOLD("UPDATE", "\"record\":" ROW(2, 6) ",\"old_record\":{}"));
}

Test(class, is_told_the_delete_of_its_rows_and_of_no_others)
{
    live("[" ROW(1, 5) "]");
    row_changes(1, "DELETE", "{\"id\":9}");
    row_changes(1, "DELETE", "{\"id\":1}");
    row_changes(1, "DELETE", "{\"id\":1}");
    pass(TG_SEC(20));
    cr_assert_told(DELETED(1));
    cr_assert_eq(counted(&COUNTS->hidden_deletes), 2);
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
}

Test(class, has_a_gap_for_a_delete_that_nobody_knew_behind_a_repair)
{
    live("[" ROW(1, 5) "]");
    lose();
    row_changes(1, "DELETE", "{\"id\":9}");
    read_all("[" ROW(1, 5) "]");
    cr_assert_told("w0 t7 ready\n" RESET);
    row_changes(1, "DELETE", "{\"id\":8}");
    pass(TG_SEC(20));
    cr_assert_told("w0 t7 ready\n" RESET);
}

Test(class, is_told_a_new_primary_key_as_another_row)
{
    live("[" ROW(1, 5) "]");
    row_key_changes(1, ROW(2, 6), "{\"id\":1}");
    cr_assert_told(DELETED(1) TOLD("UPDATE", "\"record\":" ROW(2, 6) ",\"old_record\":{}"));
    forget();
    row_changes(1, "DELETE", "{\"id\":2}");
    cr_assert_told(DELETED(2));
}

Test(class, has_rows_that_came_without_all_columns_read_again)
{
    live("[" ROW(1, 5) "]");
    row_changes(1, "UPDATE", "{\"id\":1,\"at\":6,\"cut\":1}");
    cr_assert_str_eq(read_of("kept")->columns, "*");
    cr_assert_str_eq(read_of("kept")->filter, "id=in.(%221%22)");
    read_all("[{\"id\":1,\"at\":6,\"long\":\"text\"}]");
    cr_assert_told(TOLD(
        "UPDATE", "\"record\":{\"id\":1,\"at\":6,\"long\":\"text\"},\"old_record\":{\"id\":1}"));
}

Test(class, has_no_event_of_a_change_that_came_without_its_row)
{
    live("[" ROW(1, 5) "]");
    world.link.on_change(1, TG_STR("{\"data\":{\"type\":\"UPDATE\",\"old_record\":{\"id\":1}}}"),
                         world.link_arg);
    turn();
    read_ends("kept", TG_EUPSTREAM);
    cr_assert_told("");
    pass(TG_SEC(2));
    read_rows("kept", "[" ROW(1, 6) "]");
    read_ends("kept", TG_OK);
    read_all("[" ROW(1, 6) "]");
    cr_assert_not_null(strstr(world.told, "\"record\":" ROW(1, 6)), "%s", world.told);
}

/* ---- a table that cannot be read ---- */

Test(class, goes_on_with_a_gap_and_reads_again)
{
    live("[" ROW(1, 5) "]");
    lose();
    row_changes(1, "INSERT", ROW(2, 6));
    read_ends("kept", TG_EUPSTREAM);
    cr_assert_told(GAP INSERTED(2, 6));
    cr_assert_null(kept("whole"), "what the store knew is of no use");
    row_changes(1, "DELETE", "{\"id\":1}");
    cr_assert_told(GAP INSERTED(2, 6) RESET);
    pass(TG_SEC(2));
    forget();
    read_all("[" ROW(2, 6) "]");
    cr_assert_told(RESET);
    row_changes(1, "DELETE", "{\"id\":9}");
    row_changes(1, "DELETE", "{\"id\":2}");
    cr_assert_told(RESET DELETED(2));
    cr_assert_not_null(kept("whole"));
}

Test(class, has_one_gap_however_often_it_cannot_be_read)
{
    subscribe(KEPT, 7);
    forget();
    link_up(1);
    for (int i = 0; i < 4; i++) {
        read_ends("kept", TG_EUPSTREAM);
        pass(TG_SEC(1 << i));
    }
    cr_assert_told(GAP);
    cr_assert_eq(counted(&COUNTS->fill_errors), 4);
}

Test(class, is_read_at_once_with_a_fresher_token)
{
    subscribe(KEPT, 7);
    link_up(1);
    for (int i = 0; i < 3; i++) {
        read_ends("kept", TG_EBADTOKEN);
        pass(i < 2 ? TG_SEC(1 << i) : 0);
    }
    cr_assert_null(read_of("kept"));
    subscribe_as("u", KEPT, 0, 7, 7200);
    pass(TG_MS(10));
    cr_assert_str_eq(read_of("kept")->bearer, "jwt-7200");
}

Test(class, that_may_not_read_the_column_goes_on_without_repair)
{
    subscribe(KEPT, 7);
    forget();
    link_up(1);
    read_ends("kept", TG_EFORBIDDEN);
    cr_assert_str_eq(read_of("kept")->columns, "", "the primary key alone");
    row_changes(1, "INSERT", ROW(2, 6));
    read_rows("kept", "[{\"id\":1}]");
    read_ends("kept", TG_OK);
    cr_assert_told(GAP);
    row_changes(1, "DELETE", "{\"id\":9}");
    row_changes(1, "DELETE", "{\"id\":1}");
    cr_assert_told(GAP "w0 t7 \"DELETE\",\"commit_timestamp\":null,\"old_record\":{\"id\":1}}\n");
    link_down(1, false);
    link_up(1);
    cr_assert_str_eq(read_of("kept")->columns, "");
}

Test(class, whose_read_does_not_start_goes_on_with_a_gap)
{
    world.read_rc = TG_EBADPARAM;
    subscribe(KEPT, 7);
    forget();
    link_up(1);
    pass(TG_MS(10));
    cr_assert_told(GAP);
    world.read_rc = TG_OK;
    pass(TG_SEC(1));
    read_all("[]");
    cr_assert_told(GAP RESET);
}

Test(class, has_a_gap_for_a_change_that_is_none_while_no_read_begins)
{
    live("[" ROW(1, 5) "]");
    pass(TG_SEC(2));
    world.read_rc = TG_EBUSY;
    world.link.on_change(1, TG_STR("nonsense"), world.link_arg);
    turn();
    pass(TG_MS(10));
    cr_assert_not_null(strstr(world.told, RESET), "%s", world.told);
    forget();
    row_changes(1, "INSERT", ROW(2, 6));
    cr_assert_told(INSERTED(2, 6));
}

Test(class, whose_rows_cannot_be_read_whole_has_a_gap)
{
    live("[" ROW(1, 5) "]");
    lose();
    read_all("[" ROW(1, 6) "]");
    read_ends("kept", TG_EUPSTREAM);
    cr_assert_told(GAP);
}

/* ---- bounds ---- */

Test(class, with_too_many_rows_is_as_without_repair)
{
    subscribe(KEPT, 7);
    forget();
    link_up(1);
    read_rows("kept", "[" ROW(1, 5) "," ROW(2, 5) "," ROW(3, 5) "," ROW(4, 5) "]");
    cr_assert_null(read_of("kept"));
    cr_assert_told(GAP);
    row_changes(1, "DELETE", "{\"id\":3}");
    row_changes(1, "DELETE", "{\"id\":4}");
    cr_assert_told(GAP DELETED(3) RESET);
    cr_assert_null(kept("[1]"));
    lose();
    read_rows("kept", "[" ROW(1, 5) "," ROW(2, 5) "]");
    read_ends("kept", TG_OK);
    cr_assert_told(GAP);
    cr_assert_not_null(kept("whole"), "there is room again");
}

Test(class, shares_the_bound_over_all_topics)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "," ROW(3, 5) "]");
    subscribe("table:public.b", 8);
    link_up(2);
    read_rows("b", "[{\"id\":1},{\"id\":2},{\"id\":3}]");
    cr_assert_null(read_of("b"), "no room for the third");
    cr_assert_eq(counted(&COUNTS->strict_rows), 5);
}

/* ---- losses without a sign ---- */

Test(class, is_compared_from_time_to_time)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "]");
    pass(TG_SEC(310));
    read_all("[" ROW(1, 5) "]");
    pass(TG_SEC(6));
    cr_assert_told("");
    read_all("[" ROW(1, 5) "]");
    cr_assert_not_null(strstr(world.told, "\"old_record\":{\"id\":2},\"repaired\":true}"));
    cr_assert_null(strstr(world.told, "gap"));
}

Test(class, has_no_gap_for_a_delete_of_others_while_what_differs_is_read)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "]");
    pass(TG_SEC(310));
    read_all("[" ROW(1, 5) "]"); /* a policy took the other one out of its sight */
    pass(TG_SEC(6));
    row_changes(1, "DELETE", "{\"id\":9}");
    read_all("[" ROW(1, 5) "]");
    pass(TG_SEC(20));
    cr_assert_not_null(strstr(world.told, "\"old_record\":{\"id\":2},\"repaired\":true}"));
    cr_assert_null(strstr(world.told, "gap"));
    cr_assert_eq(counted(&COUNTS->hidden_deletes), 1);
    lose(); /* after a loss there is one again */
    row_changes(1, "DELETE", "{\"id\":9}");
    read_all("[" ROW(1, 5) "]");
    cr_assert_told("w0 t7 ready\n" RESET);
}

Test(class, has_one_for_it_when_something_was_lost_besides)
{
    live("[" ROW(1, 5) "," ROW(2, 5) "]");
    pass(TG_SEC(310));
    read_all("[" ROW(1, 5) "]");
    pass(TG_SEC(6));
    link_up(1); /* upstream subscribed anew */
    row_changes(1, "DELETE", "{\"id\":9}");
    read_all("[" ROW(1, 5) "]");
    pass(TG_SEC(2));
    read_all("[" ROW(1, 5) "]");
    pass(TG_SEC(20));
    cr_assert_not_null(strstr(world.told, "gap"));
}
