/* The dump and the document. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/doc.h"
#include "config/key.h"
#include "config/value.h"
#include "given.h"

Test(doc, a_dump_stars_secrets_and_tells_where_values_came_from)
{
    struct given g;
    struct tg_buf out;

    given_project(&g, "supabase:\n  jwt_secret: hush\nstore:\n  url: redis://u:pw@h\n");
    cr_assert_eq(g.rc, TG_OK);
    tg_buf_init(&out, TG_CONFIG_DOC_MAX);
    tg_config_dump(g.cfg, &out);
    cr_expect_null(strstr(tg_buf_cstr(&out), "hush"));
    cr_expect_null(strstr(tg_buf_cstr(&out), "pw"));
    cr_expect_null(strstr(tg_buf_cstr(&out), "sb_publishable_x"));
    cr_expect(strstr(tg_buf_cstr(&out), "  jwt_secret: \"****\" # file\n"));
    cr_expect(strstr(tg_buf_cstr(&out), "  anon_key: \"****\" # environment\n"));
    cr_expect(strstr(tg_buf_cstr(&out), "  service_key: \"\" # default\n"));
    cr_expect(strstr(tg_buf_cstr(&out), "  listen: \"127.0.0.1:8080\" # default\n"));
    cr_expect(strstr(tg_buf_cstr(&out), "jwks.json\" # derived\n"));
    tg_buf_fini(&out);
    given_fini(&g);
}

Test(doc, a_dump_loads_again_with_the_same_values)
{
    struct given g;
    struct given again;
    struct tg_buf first;
    struct tg_buf second;

    given_project(&g, "supabase:\n  jwt_issuer: 'a \"quoted\" \\ one'\n"
                      "cors:\n  origins: [https://a.b, https://c.d]\n");
    cr_assert_eq(g.rc, TG_OK);
    tg_buf_init(&first, TG_CONFIG_DOC_MAX);
    tg_config_dump(g.cfg, &first);
    given_load(&again, tg_buf_cstr(&first), NULL);
    cr_assert_eq(again.rc, TG_OK, "%s", tg_buf_cstr(&again.errors));
    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        tg_buf_clear(&first);
        tg_buf_init(&second, TG_CONFIG_DOC_MAX);
        tg_value_render(&tg_config_keys()[i], g.cfg, &first);
        tg_value_render(&tg_config_keys()[i], again.cfg, &second);
        cr_expect(tg_config_keys()[i].is_secret ||
                      tg_str_eq(tg_buf_view(&first), tg_buf_view(&second)),
                  "%s", tg_config_keys()[i].name);
        tg_buf_fini(&second);
    }
    tg_buf_fini(&first);
    given_fini(&again);
    given_fini(&g);
}

Test(doc, the_document_in_the_repository_is_the_one_made_from_the_keys)
{
    FILE *file = fopen(TG_SOURCE_DIR "/docs/CONFIG.md", "re");
    struct tg_buf made;
    struct tg_buf kept;
    char chunk[4096];
    size_t n = 0;

    cr_assert_not_null(file);
    tg_buf_init(&made, TG_CONFIG_DOC_MAX);
    tg_buf_init(&kept, TG_CONFIG_DOC_MAX);
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        tg_buf_append(&kept, chunk, n);
    }
    (void)fclose(file);
    tg_config_doc(&made);
    cr_assert(tg_str_eq(tg_buf_view(&made), tg_buf_view(&kept)),
              "run: tidegate --config-doc > docs/CONFIG.md");
    tg_buf_fini(&made);
    tg_buf_fini(&kept);
}
