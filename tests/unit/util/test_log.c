/* test_log.c - lines through a pipe. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"

static int ends[2];
static char text[16384];

static void open_pipe(void)
{
    cr_assert_eq(pipe(ends), 0);
    tg_log_init(ends[1], TG_LOG_INFO);
}

/* All that was written; the pipe is closed for writing, so this does not wait. */
static tg_str written(void)
{
    size_t n = 0;
    ssize_t got = 0;

    (void)close(ends[1]);
    while ((got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    text[n] = '\0';
    return tg_str_make(text, n);
}

TestSuite(log, .init = open_pipe);

Test(log, a_line_has_time_level_event_thread_and_its_fields)
{
    tg_str line = TG_STR_NONE;

    tg_log(TG_LOG_INFO, "listen", TG_KZ("address", "127.0.0.1"), TG_KN("port", -8080));
    line = written();
    cr_assert(tg_str_has_prefix(line, TG_STR("ts=20")));
    cr_assert_eq(line.p[27], ' ', "milliseconds and Z: %s", text);
    cr_assert(tg_str_has_suffix(
        line, TG_STR("Z level=info event=listen thread=main address=127.0.0.1 port=-8080\n")));
}

Test(log, levels_below_the_least_are_not_written)
{
    tg_log(TG_LOG_DEBUG, "quiet", TG_KN("n", 1));
    cr_assert_not(tg_log_is_on(TG_LOG_DEBUG));
    cr_assert(tg_log_is_on(TG_LOG_WARN));
    cr_assert_eq(written().n, 0);
}

Test(log, the_level_changes_while_lines_are_written)
{
    tg_log_set_level(TG_LOG_DEBUG);
    tg_log(TG_LOG_DEBUG, "told", TG_KN("n", 1));
    tg_log_set_level(TG_LOG_ERROR);
    tg_log(TG_LOG_WARN, "quiet", TG_KN("n", 2));
    (void)written();
    cr_assert_not_null(strstr(text, " event=told "));
    cr_assert_null(strstr(text, "quiet"));
}

Test(log, a_thread_is_named_in_its_lines)
{
    tg_log_thread("hub");
    tg_log(TG_LOG_WARN, "gap", TG_KN("n", 1));
    (void)written();
    cr_assert_not_null(strstr(text, " level=warn event=gap thread=hub n=1\n"));
}

Test(log, untrusted_text_cannot_start_a_line_or_a_field)
{
    tg_log(TG_LOG_INFO, "x", TG_KZ("v", "a\nlevel=error \"b\" \\\x7F\xC3"));
    (void)written();
    cr_assert_not_null(strstr(text, " v=\"a\\x0alevel=error \\\"b\\\" \\\\\\x7f\\xc3\"\n"), "%s",
                       text);
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

Test(log, empty_text_is_two_quotes)
{
    tg_log(TG_LOG_INFO, "x", TG_KS("v", TG_STR_NONE));
    (void)written();
    cr_assert_not_null(strstr(text, " v=\"\"\n"));
}

Test(log, a_line_is_cut_at_4096_bytes_and_still_ends)
{
    static char big[10000];
    tg_str line = TG_STR_NONE;

    memset(big, 'x', sizeof(big) - 1);
    tg_log(TG_LOG_INFO, "big", TG_KZ("v", big));
    line = written();
    cr_assert_eq(line.n, 4096);
    cr_assert_eq(line.p[4095], '\n');
}

Test(log, repeats_are_limited_and_counted)
{
    struct tg_log_limit l = {.minute = 0};
    int passed = 0;

    /* A minute may turn over once while this runs. */
    for (int i = 0; i < 100; i++) {
        passed += tg_log_limit_pass(&l, 3) >= 0 ? 1 : 0;
    }
    cr_assert(passed == 3 || passed == 6, "%d", passed);
    l.minute--; /* as if the last one was in the minute before */
    cr_assert_gt(tg_log_limit_pass(&l, 3), 0, "says how many were left out");
    cr_assert_eq(l.missed, 0);
}
