/* The table itself: what the loader takes for granted about it. */
#include <criterion/criterion.h>

#include "config/key.h"
#include "config/value.h"

Test(key, every_default_is_within_its_bounds_unless_the_key_is_required)
{
    struct tg_config cfg = {0};

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        const struct tg_config_key *key = &tg_config_keys()[i];
        enum tg_rc rc = tg_value_set(key, &cfg, tg_str_of(key->preset));

        cr_assert_eq(rc == TG_OK, !tg_config_key_is_required(key), "%s", key->name);
    }
    tg_arena_drop(&cfg.arena);
}

Test(key, every_key_is_found_by_its_name_and_stands_in_a_section)
{
    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        const struct tg_config_key *key = &tg_config_keys()[i];
        tg_str rest = tg_str_of(key->name);

        cr_assert_eq(tg_config_key_find(tg_str_of(key->name)), key, "%s is twice", key->name);
        cr_assert_eq(tg_config_key_get(key->name), key);
        cr_assert_eq(tg_config_key_place(key), i);
        cr_assert(strlen(key->name) < TG_CONFIG_KEY_NAME_MAX);
        cr_assert_not_null(tg_config_section_find(tg_str_cut(&rest, '.')));
    }
    cr_assert_null(tg_config_key_find(TG_STR("server.nothing")));
    cr_assert_null(tg_config_section_find(TG_STR("nothing")));
}

Test(key, every_section_has_keys_and_every_key_a_sentence)
{
    size_t n = 0;
    const struct tg_config_section *sections = tg_config_sections(&n);
    size_t used = 0;

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        const struct tg_config_key *key = &tg_config_keys()[i];

        used += i == 0 || strcmp(key->section, tg_config_keys()[i - 1].section) != 0;
        cr_assert(tg_str_has_suffix(tg_str_of(key->about), TG_STR(".")), "%s", key->name);
    }
    cr_assert_eq(used, n);
    cr_assert_str_eq(sections[0].name, "server");
}

Test(key, a_variable_is_the_name_in_upper_case_with_underscores)
{
    char name[TG_CONFIG_KEY_VARIABLE_MAX];

    tg_config_key_variable(tg_config_key_get("server.listen"), name);
    cr_assert_str_eq(name, "TIDEGATE_SERVER_LISTEN");
    tg_config_key_variable(tg_config_key_get("limits.own_body_bytes"), name);
    cr_assert_str_eq(name, "TIDEGATE_LIMITS_OWN_BODY_BYTES");
}

Test(key, lists_and_required_keys_are_told_apart)
{
    cr_assert(tg_config_key_is_list(tg_config_key_get("cors.origins")));
    cr_assert_not(tg_config_key_is_list(tg_config_key_get("server.listen")));
    cr_assert(tg_config_key_is_required(tg_config_key_get("supabase.url")));
    cr_assert_not(tg_config_key_is_required(tg_config_key_get("store.url")));
    cr_assert_not(tg_config_key_is_required(tg_config_key_get("server.workers")));
}
