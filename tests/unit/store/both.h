/* both.h - tests that are asked of both backends. Define SUITE before: the tests are in
 * memory_<SUITE> and redis_<SUITE>, and each begins with an open store in `f`. */
#ifndef TG_TESTS_STORE_BOTH_H
#define TG_TESTS_STORE_BOTH_H

#include "store/fixture.h"

static struct fixture f;

static const struct tg_pos begin TG_UNUSED = {0, 0};
static const struct tg_pos all TG_UNUSED = {0, 0};

static void start_memory(void)
{
    fixture_start(&f, false);
    fixture_open(&f);
}

static void start_redis(void)
{
    fixture_start(&f, true);
    fixture_open(&f);
}

static void stop(void)
{
    fixture_stop(&f);
}

#define SUITE_OF_(backend, suite) backend##_##suite
#define SUITE_OF(backend, suite) SUITE_OF_(backend, suite)

#define ON_MEMORY(name) Test(SUITE_OF(memory, SUITE), name, .init = start_memory, .fini = stop)
#define ON_REDIS(name) Test(SUITE_OF(redis, SUITE), name, .init = start_redis, .fini = stop)

#define BOTH(name)                                                                                 \
    static void name(void);                                                                        \
    ON_MEMORY(name)                                                                                \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    ON_REDIS(name)                                                                                 \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    static void name(void)

#endif
