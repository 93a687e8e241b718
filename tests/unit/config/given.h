/* given.h - a configuration file and an environment for one test. */
#ifndef TG_TESTS_CONFIG_GIVEN_H
#define TG_TESTS_CONFIG_GIVEN_H

#include "config/load.h"

/* What a load gave; given_fini() it. */
struct given {
    enum tg_rc rc;
    struct tg_config *cfg; /* NULL unless TG_OK */
    struct tg_buf errors;
    char path[64]; /* as the errors name the file */
    int fd;
};

/* `yaml` NULL: no file. `environment` NULL: empty. */
void given_load(struct given *g, const char *yaml, const char *const *environment);

/* The same with the project's required keys given by the environment. */
void given_project(struct given *g, const char *yaml);
void given_fini(struct given *g);

/* Whether the errors contain "<file>:<line>: <text>". */
bool given_has_error(struct given *g, unsigned line, const char *text);
bool given_has_text(struct given *g, const char *text);

#endif
