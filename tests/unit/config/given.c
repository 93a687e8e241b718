/* given.c - files that live in memory only. */
#include "given.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_VARIABLES = 16 };

void given_load(struct given *g, const char *yaml, const char *const *environment)
{
    char *copies[MAX_VARIABLES + 1] = {NULL};
    size_t n = 0;

    *g = (struct given){.fd = -1};
    tg_buf_init(&g->errors, TG_CONFIG_ERRORS_MAX);
    if (yaml != NULL) {
        g->fd = memfd_create("tidegate.yaml", MFD_CLOEXEC);
        TG_ASSERT(g->fd >= 0);
        TG_ASSERT(write(g->fd, yaml, strlen(yaml)) == (ssize_t)strlen(yaml));
        TG_ASSERT(snprintf(g->path, sizeof(g->path), "/proc/self/fd/%d", g->fd) > 0);
    }
    for (; environment != NULL && environment[n] != NULL; n++) {
        TG_ASSERT(n < MAX_VARIABLES);
        copies[n] = tg_strdup(environment[n]);
    }
    g->rc = tg_config_load(yaml == NULL ? NULL : g->path, copies, &g->cfg, &g->errors);
    while (n > 0) {
        free(copies[--n]);
    }
}

void given_project(struct given *g, const char *yaml)
{
    static const char *const project[] = {"TIDEGATE_SUPABASE_URL=https://abc.supabase.co",
                                          "TIDEGATE_SUPABASE_ANON_KEY=sb_publishable_x", NULL};

    given_load(g, yaml, project);
}

void given_fini(struct given *g)
{
    tg_config_destroy(g->cfg);
    tg_buf_fini(&g->errors);
    if (g->fd >= 0) {
        (void)close(g->fd);
    }
}

bool given_has_text(struct given *g, const char *text)
{
    return strstr(tg_buf_cstr(&g->errors), text) != NULL;
}

bool given_has_error(struct given *g, unsigned line, const char *text)
{
    char wanted[512];

    TG_ASSERT(snprintf(wanted, sizeof(wanted), "%s:%u: %s", g->path, line, text) <
              (int)sizeof(wanted));
    return given_has_text(g, wanted);
}
