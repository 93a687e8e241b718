/* test_strict.c - a strict topic's class is told of rows that it may know of, and of no others. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime/strict.h"
#include "realtime_hub/world.h"

#define A "table:public.a"
#define COUNTS tg_hub_counts(world.hub)

static void begin(void)
{
    start();
    world.tells_json = true;
    world.holds_reads = true;
}

TestSuite(strict, .init = begin, .fini = stop);

#define RESET "w0 t7 {\"topic\":\"table:public.a\",\"reason\":\"gap\"}\n"
#define GAP "w0 t7 ready\n" RESET
#define INSERTED(id) "w0 t7 \"INSERT\",\"commit_timestamp\":null,\"record\":{\"id\":" id "}}\n"
#define DELETED(id) "w0 t7 \"DELETE\",\"commit_timestamp\":null,\"old_record\":{\"id\":" id "}}\n"

#define UPDATE "{\"data\":{\"type\":\"UPDATE\",\"record\":{\"id\":%d},\"old_record\":{\"id\":%d}}}"

static uint64_t counted(const tg_count *c)
{
    return tg_count_get(c);
}

/* Live, as one who can see these rows. */
static void live(const char *rows)
{
    subscribe(A, 7);
    link_up(1);
    read_rows("a", rows);
    read_ends("a", TG_OK);
    forget();
}

/* ---- deletes ---- */

Test(strict, tells_the_delete_of_a_row_that_was_read)
{
    live("[{\"id\":1},{\"id\":2}]");
    row_changes(1, "DELETE", "{\"id\":2}");
    cr_assert_told(DELETED("2"));
}

Test(strict, tells_it_once)
{
    live("[{\"id\":1}]");
    row_changes(1, "DELETE", "{\"id\":1}");
    row_changes(1, "DELETE", "{\"id\":1}");
    cr_assert_told(DELETED("1"));
}

Test(strict, hides_the_delete_of_a_foreign_row)
{
    live("[{\"id\":1}]");
    row_changes(1, "DELETE", "{\"id\":9}");
    pass(TG_SEC(60));
    cr_assert_told("");
    cr_assert_eq(counted(&COUNTS->hidden_deletes), 1);
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 0);
}

Test(strict, knows_the_rows_that_it_told_of)
{
    live("[]");
    row_changes(1, "INSERT", "{\"id\":4}");
    row_changes(1, "DELETE", "{\"id\":4}");
    cr_assert_told(INSERTED("4") DELETED("4"));
}

Test(strict, shows_of_a_deleted_row_the_primary_key_alone)
{
    live("[{\"id\":1}]");
    row_changes(1, "DELETE", "{\"id\":1,\"secret\":2}");
    cr_assert_told(DELETED("1"));
}

Test(strict, shows_an_old_primary_key_only_if_it_knew_it)
{
    char text[128];

    live("[{\"id\":1}]");
    (void)snprintf(text, sizeof(text), UPDATE, 2, 1);
    world.link.on_change(1, tg_str_of(text), world.link_arg);
    (void)snprintf(text, sizeof(text), UPDATE, 3, 9);
    world.link.on_change(1, tg_str_of(text), world.link_arg);
    turn();
    cr_assert_not_null(strstr(world.told, "\"record\":{\"id\":2},\"old_record\":{\"id\":1}}"));
    cr_assert_not_null(strstr(world.told, "\"record\":{\"id\":3},\"old_record\":{}}"));
    forget();
    row_changes(1, "DELETE", "{\"id\":1}");
    row_changes(1, "DELETE", "{\"id\":2}");
    cr_assert_told(DELETED("2"));
}

/* ---- reading ---- */

Test(strict, reads_as_the_user_with_the_topics_filter)
{
    subscribe("table:public.a:name=eq.\"x, y\"", 7);
    link_up(1);
    cr_assert_str_eq(read_of("a")->bearer, "jwt-3600");
    cr_assert_str_eq(read_of("a")->filter, "name=eq.x%2C%20y");
}

Test(strict, is_ready_behind_the_read_and_covers_by_the_gap_what_came_before)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    row_changes(1, "INSERT", "{\"id\":4}");
    row_changes(1, "DELETE", "{\"id\":9}");
    cr_assert_told("");
    read_ends("a", TG_OK);
    cr_assert_told(GAP);
    row_changes(1, "DELETE", "{\"id\":4}");
    cr_assert_told(GAP DELETED("4"));
}

Test(strict, does_not_wait_long_and_writes_another_gap_behind_the_read)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    pass(TG_SEC(3));
    cr_assert_told(GAP);
    read_rows("a", "[{\"id\":1}]");
    read_ends("a", TG_OK);
    cr_assert_told(GAP RESET);
}

Test(strict, without_a_whole_read_an_unknown_delete_is_a_gap_now_and_then)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    read_rows("a", "[{\"id\":1}]");
    read_ends("a", TG_EUPSTREAM);
    cr_assert_told(GAP);
    forget();
    row_changes(1, "DELETE", "{\"id\":1}");
    row_changes(1, "DELETE", "{\"id\":8}");
    row_changes(1, "DELETE", "{\"id\":9}");
    cr_assert_told(DELETED("1") RESET);
    pass(TG_MS(9500));
    cr_assert_told(DELETED("1") RESET);
    pass(TG_SEC(1));
    cr_assert_told(DELETED("1") RESET RESET);
    cr_assert_eq(counted(&COUNTS->unknown_deletes), 2);
}

Test(strict, reads_again_after_a_failure_with_a_gap_behind_it)
{
    subscribe(A, 7);
    link_up(1);
    read_ends("a", TG_EUPSTREAM);
    cr_assert_null(read_of("a"));
    pass(TG_SEC(1));
    forget();
    read_ends("a", TG_OK);
    cr_assert_told(RESET);
    row_changes(1, "DELETE", "{\"id\":9}");
    cr_assert_told(RESET);
}

Test(strict, that_cannot_be_read_at_all_is_live_with_its_gap)
{
    world.read_rc = TG_EBUSY;
    subscribe(A, 7);
    forget();
    link_up(1);
    cr_assert_told(GAP);
    world.read_rc = TG_OK;
    pass(TG_SEC(1));
    read_ends("a", TG_OK);
    cr_assert_told(GAP RESET);
}

Test(strict, reads_at_once_with_a_fresher_token)
{
    subscribe(A, 7);
    link_up(1);
    read_ends("a", TG_EBADTOKEN);
    subscribe_as("u", A, 0, 7, 7200);
    cr_assert_str_eq(read_of("a")->bearer, "jwt-7200");
}

Test(strict, that_lost_something_meanwhile_reads_twice)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    world.link.on_change(1, TG_STR("nonsense"), world.link_arg);
    turn();
    read_ends("a", TG_OK);
    cr_assert_told(GAP);
    row_changes(1, "DELETE", "{\"id\":9}");
    cr_assert_told(GAP RESET);
    pass(TG_SEC(1));
    read_ends("a", TG_OK);
    cr_assert_told(GAP RESET RESET);
    row_changes(1, "DELETE", "{\"id\":9}");
    cr_assert_told(GAP RESET RESET);
}

Test(strict, forgets_what_two_reads_have_not_shown)
{
    live("[{\"id\":1},{\"id\":2}]");
    for (int i = 0; i < 2; i++) {
        pass(TG_SEC(340));
        read_rows("a", "[{\"id\":2}]");
        read_ends("a", TG_OK);
    }
    pass(TG_SEC(340));
    cr_assert_told("");
    row_changes(1, "DELETE", "{\"id\":1}");
    row_changes(1, "DELETE", "{\"id\":2}");
    cr_assert_told(DELETED("2"));
}

Test(strict, stops_reading_when_its_channel_is_gone)
{
    subscribe(A, 7);
    link_up(1);
    cr_assert_not_null(read_of("a"));
    link_down(1, false);
    cr_assert_null(read_of("a"));
    cr_assert_eq(counted(&COUNTS->strict_rows), 0);
}

/* ---- bounds ---- */

Test(strict, with_too_many_rows_is_live_and_told_of_those_that_it_knows)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    read_rows("a", "[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4}]");
    cr_assert_null(read_of("a"));
    cr_assert_told(GAP);
    row_changes(1, "DELETE", "{\"id\":3}");
    row_changes(1, "DELETE", "{\"id\":4}");
    cr_assert_told(GAP DELETED("3") RESET);
}

Test(strict, that_outgrows_its_bound_tells_a_gap_for_what_it_no_longer_knows)
{
    live("[{\"id\":1},{\"id\":2},{\"id\":3}]");
    row_changes(1, "INSERT", "{\"id\":4}");
    row_changes(1, "DELETE", "{\"id\":4}");
    cr_assert_told("w0 t7 ready\n" INSERTED("4") RESET); /* hello says `partial` from now on */
}

Test(strict, shares_the_bound_over_all_topics)
{
    live("[{\"id\":1},{\"id\":2},{\"id\":3}]");
    subscribe("table:public.b", 8);
    link_up(2);
    read_rows("b", "[{\"id\":1},{\"id\":2},{\"id\":3}]");
    cr_assert_null(read_of("b"), "no room for the third");
    cr_assert_eq(counted(&COUNTS->strict_rows), 5);
    link_down(2, false);
    cr_assert_eq(counted(&COUNTS->strict_rows), 3);
}

/* ---- rows without the key that was configured ---- */

Test(strict, without_primary_keys_takes_every_delete_for_a_gap)
{
    live("[{\"id\":1}]");
    row_changes(1, "INSERT", "{\"other\":4}");
    cr_assert_not_null(strstr(world.told, "\"record\":{\"other\":4}"));
    forget();
    row_changes(1, "DELETE", "{\"other\":4}");
    cr_assert_told(RESET);
}

/* ---- what hello says of it ---- */

static const struct strict *strict_of(struct tg_list *node)
{
    return TG_CONTAINER_OF(node, struct feed, node)->strict;
}

Test(strict, says_that_it_has_outgrown_its_bound)
{
    live("[{\"id\":1},{\"id\":2},{\"id\":3}]");
    cr_assert_not(strict_is_partial(strict_of(world.hub->feeds.next)));
    row_changes(1, "INSERT", "{\"id\":4}");
    cr_assert(strict_is_partial(strict_of(world.hub->feeds.next)));
}

Test(strict, is_blind_for_deletes_where_the_filter_needs_more_than_the_key)
{
    subscribe("table:public.a:id=eq.1", 7);
    subscribe("table:public.a:id=eq.1,name=eq.x", 8);
    cr_assert_not(strict_is_partial(strict_of(world.hub->feeds.next)));
    cr_assert(strict_is_partial(strict_of(world.hub->feeds.next->next)));
}
