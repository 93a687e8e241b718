/* scripts.h - the Lua scripts of lib/store/lua, embedded at build time. */
#ifndef TG_STORE_SCRIPTS_H
#define TG_STORE_SCRIPTS_H

#include <stddef.h>

/* The order of cmake/embed_lua.cmake. */
enum tg_script_name {
    TG_SCRIPT_APPEND,
    TG_SCRIPT_PAGE,
    TG_SCRIPT_LANE,
    TG_SCRIPT_LEASE,
    TG_SCRIPT_SETTLE,
    TG_SCRIPT_DEVICE,
    TG_SCRIPT_DEVICES,
    TG_SCRIPT_CONTROL,
    TG_SCRIPT_DENY,
    TG_SCRIPT_INDEX,
    TG_SCRIPT_MAX
};

struct tg_script {
    const char *name;
    const char *sha;  /* SHA-1 of the text, as Redis names it */
    const char *text; /* no NUL */
    size_t n;
};
extern const struct tg_script tg_scripts[TG_SCRIPT_MAX];

#endif
