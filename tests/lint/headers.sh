#!/usr/bin/env bash
# headers - every header compiles alone and has the guard TG_<FOLDER>_<FILE>_H.
. "$(dirname "$0")/common.sh"

LIBS="libuv jansson libcurl libwebsockets hiredis libjwt openssl yaml-0.1 libmicrohttpd"

compiles_alone() {
    local header=$1
    # shellcheck disable=SC2086 # flags are words
    printf '#include "%s"\n' "${header#lib/}" |
        gcc -fsyntax-only -std=c17 -D_GNU_SOURCE -Wall -Wextra -Werror -Ilib -I. $LINT_CFLAGS \
            -x c - || {
        echo "$header:1: does not compile alone"
        return 1
    }
}

check() {
    local bad=0 header guard
    # shellcheck disable=SC2086
    LINT_CFLAGS=$(pkg-config --cflags $LIBS 2>/dev/null || true)
    export LINT_CFLAGS
    export -f compiles_alone
    while read -r header; do
        guard=${header#lib/}
        guard=TG_$(tr 'a-z/.-' 'A-Z___' <<<"$guard")
        if ! grep -qx "#ifndef $guard" "$header" || ! grep -qx "#define $guard" "$header"; then
            echo "$header:1: wants the guard $guard"
            bad=1
        fi
    done < <(product_files | grep '\.h$' || true)
    product_files | { grep '\.h$' || true; } |
        xargs -r -P 2 -I{} bash -c 'compiles_alone "{}"' || bad=1
    return $bad
}

plant() {
    passes "a whole header" lib/util/a.h '#ifndef TG_UTIL_A_H
#define TG_UTIL_A_H
#include <stddef.h>
size_t tg_a(void);
#endif'
    caught "a header that wants another first" lib/util/a.h '#ifndef TG_UTIL_A_H
#define TG_UTIL_A_H
size_t tg_a(void);
#endif'
    caught "another guard" lib/util/a.h '#ifndef A_H
#define A_H
#endif'
}

lint "$@"
