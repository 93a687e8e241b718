/* test_tail.c - what the tail tells, asked of both backends. */
#include <stdio.h>
#include <stdlib.h>

#define SUITE tail
#include "store/both.h"

BOTH(the_tail_tells_every_entry_in_order)
{
    tail(&f, f.last);
    for (int i = 0; i < 20; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(append(&f, i % 2 == 0 ? "even" : "odd", text), TG_OK);
    }
    cr_assert_eq(gap(&f, "", 0, "why"), TG_OK);
    wait_tail(&f, 21);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(f.seen[i].kind, TG_ENTRY_EVENT);
        cr_assert_str_eq(f.seen[i].name, i % 2 == 0 ? "even" : "odd");
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
        cr_assert(i == 0 || tg_pos_cmp(f.seen[i].pos, f.seen[i - 1].pos) > 0);
    }
    cr_assert_eq(f.seen[20].kind, TG_ENTRY_GAP);
    cr_assert_str_eq(f.seen[20].name, "");
    cr_assert_str_eq(f.seen[20].payload, "why");
    cr_assert_eq(f.n_cuts, 0);
    POS_EQ(f.tail_last, f.pos);
    cr_assert_eq(tg_store_tail(f.store, f.last, NULL, NULL), TG_ECONFLICT);
}

BOTH(the_tail_begins_behind_its_position)
{
    struct tg_pos middle = fill(&f, "a", 600);

    (void)fill(&f, "a", 600);
    tail(&f, middle);
    wait_tail(&f, 600);
    for (int i = 0; i < 600; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
    }
    cr_assert_eq(f.n_cuts, 0);
}

BOTH(a_tail_behind_the_trimmed_log_is_cut)
{
    struct tg_pos first = {0};

    f.opts.log_events = 10;
    fixture_reopen(&f);
    first = fill(&f, "a", 1);
    (void)fill(&f, "a", 39);
    tail(&f, first);
    wait_tail(&f, 10);
    cr_assert_eq(f.n_cuts, 1);
    cr_assert_str_eq(f.seen[f.n - 1].payload, "38");
    for (size_t i = 1; i < f.n; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10),
                     strtol(f.seen[i - 1].payload, NULL, 10) + 1);
    }
    /* The topic has its own retention. */
    cr_assert_eq(page(&f, "a", "", first, all, 100), TG_OK);
    is_page(&f, TG_COMPLETE, first, 39);
}

BOTH(control_entries_pass_the_tail_and_belong_to_no_topic)
{
    struct tg_pos first = f.last;
    struct tg_epoch mine = f.epoch;

    tail(&f, f.last);
    cr_assert_eq(append(&f, "a", "0"), TG_OK);
    cr_assert_eq(control(&f, "{\"what\":1}"), TG_OK);
    cr_assert_eq(control(&f, "two"), TG_OK);
    cr_assert_eq(append(&f, "a", "1"), TG_OK);
    wait_tail(&f, 4);
    cr_assert_eq(f.seen[1].kind, TG_ENTRY_CONTROL);
    cr_assert_str_eq(f.seen[1].name, "");
    cr_assert_str_eq(f.seen[1].payload, "{\"what\":1}");
    cr_assert_str_eq(f.seen[2].payload, "two");
    cr_assert_eq(f.seen[3].kind, TG_ENTRY_EVENT);
    cr_assert_eq(f.n_cuts, 0);
    cr_assert_eq(page(&f, "a", "feed", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 2);
    f.epoch = (struct tg_epoch){.text = "another"};
    cr_assert_eq(control(&f, "x"), TG_EEPOCH);
    f.epoch = mine;
    cr_assert_eq(control(&f, "x"), TG_OK);
}

BOTH(control_entries_leave_with_the_log)
{
    struct tg_pos first = {0};

    f.opts.log_events = 10;
    fixture_reopen(&f);
    cr_assert_eq(control(&f, "first"), TG_OK);
    first = f.pos;
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(control(&f, "more"), TG_OK);
    }
    tail(&f, first);
    wait_tail(&f, 10);
    cr_assert_eq(f.n_cuts, 1);
    cr_assert_eq(f.seen[0].kind, TG_ENTRY_CONTROL);
}
