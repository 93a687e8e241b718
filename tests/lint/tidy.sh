#!/usr/bin/env bash
# tidy - clang-tidy with the checks of .clang-tidy, all of them errors. A file is asked again
# only when it, a header that it includes, its flags or the checks have changed: what passed
# is remembered in build/lint/tidy/.
. "$(dirname "$0")/common.sh"

CACHE=$REPO/build/lint/tidy
# The flags of the clang preset; -W for the compiler, the checks for the rest.
FLAGS="-std=c17 -D_GNU_SOURCE -DTG_VERSION=__FILE__ -Ilib -I. -Wall -Wextra"

tidy_one() {
    local file=$1 key
    # shellcheck disable=SC2086
    key=$({
        clang-tidy --version
        echo "$FLAGS"
        cat .clang-tidy
        clang $FLAGS $LINT_CFLAGS -MM "$file" | tr -d '\\\n' | sed 's/^[^:]*://' | xargs cat
    } | sha256sum | cut -c1-64)
    [ ! -e "$CACHE/$key" ] || return 0
    # shellcheck disable=SC2086
    if timeout 300 clang-tidy --quiet "$file" -- $FLAGS $LINT_CFLAGS 2>/dev/null; then
        : >"$CACHE/$key"
    else
        echo "$file:1: clang-tidy is not content"
        return 1
    fi
}

check() {
    local libs="libuv jansson libcurl libwebsockets hiredis libjwt openssl yaml-0.1 libmicrohttpd"
    [ -f .clang-tidy ] || cp "$REPO/.clang-tidy" .
    if ! clang-tidy --version | grep -q 'LLVM version 14\.'; then
        echo "note: clang-tidy is not asked: the checks are chosen for version 14"
        return 0
    fi
    mkdir -p "$CACHE"
    # shellcheck disable=SC2086
    LINT_CFLAGS=$(pkg-config --cflags $libs 2>/dev/null || true)
    export LINT_CFLAGS CACHE FLAGS
    export -f tidy_one
    product_files | { grep '\.c$' || true; } |
        xargs -r -P 2 -I{} bash -c 'tidy_one "{}"'
}

plant() {
    if ! clang-tidy --version | grep -q 'LLVM version 14\.'; then
        return 0
    fi
    passes "a small function" lib/util/a.c 'int tg_a(int n);
int tg_a(int n)
{
    return n + 1;
}'
    caught "an if without braces" lib/util/a.c 'int tg_a(int n);
int tg_a(int n)
{
    if (n > 1)
        return 2;
    return n + 1;
}'
    caught "a null pointer followed" lib/util/a.c 'int tg_a(const int *n);
int tg_a(const int *n)
{
    return n == 0 ? *n : 1;
}'
}

lint "$@"
