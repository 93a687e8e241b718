/* The file as a list of names, and its bounds. */
#include <criterion/criterion.h>

#include "config/yaml.h"

struct seen {
    struct tg_buf items;
    unsigned error_line;
};

static void on_item(const struct tg_yaml_item *item, void *arg)
{
    static const char *const kinds[] = {"text", "list", "empty", "section"};
    struct seen *seen = arg;

    tg_buf_printf(&seen->items, "%u %s %.*s=%.*s\n", item->line, kinds[item->kind],
                  TG_STR_ARG(item->name), TG_STR_ARG(item->text));
}

static void on_error(unsigned line, const char *what, void *arg)
{
    struct seen *seen = arg;

    cr_assert_not_null(what);
    seen->error_line = line;
}

static enum tg_rc run(const char *text, struct seen *seen)
{
    *seen = (struct seen){.error_line = 0};
    tg_buf_init(&seen->items, 65536);
    return tg_yaml_read(tg_str_of(text), on_item, on_error, seen);
}

Test(yaml, mappings_are_flattened_to_dotted_names_with_their_lines)
{
    struct seen seen;

    cr_assert_eq(
        run("a:\n  b: 1 # note\n  c: [x, 'y z']\n  d:\n  e: \"\"\nf: {g: {h: i}}\n", &seen), TG_OK);
    cr_assert_str_eq(tg_buf_cstr(&seen.items),
                     "1 section a=\n2 text a.b=1\n3 list a.c=x,y z\n4 empty a.d=\n5 text a.e=\n"
                     "6 section f=\n6 section f.g=\n6 text f.g.h=i\n");
    tg_buf_fini(&seen.items);
}

Test(yaml, what_stood_before_a_mistake_is_still_told)
{
    struct seen seen;

    cr_assert_eq(run("a:\n  b: 1\n  c: [1\n", &seen), TG_ESYNTAX);
    cr_assert_str_eq(tg_buf_cstr(&seen.items), "1 section a=\n2 text a.b=1\n");
    cr_assert_neq(seen.error_line, 0);
    tg_buf_fini(&seen.items);
}

Test(yaml, nesting_and_names_are_bounded)
{
    struct seen seen;
    char name[400];

    cr_assert_eq(run("a: {b: {c: {d: 1}}}\n", &seen), TG_OK);
    tg_buf_fini(&seen.items);
    cr_assert_eq(run("a: {b: {c: {d: {e: 1}}}}\n", &seen), TG_ESYNTAX);
    cr_assert_eq(seen.error_line, 1);
    tg_buf_fini(&seen.items);
    memset(name, 'n', sizeof(name));
    memcpy(name + sizeof(name) - 4, ": 1", 4);
    cr_assert_eq(run(name, &seen), TG_ESYNTAX);
    tg_buf_fini(&seen.items);
}
