#!/usr/bin/env bash
# cppcheck - its warnings, performance and portability findings are errors.
. "$(dirname "$0")/common.sh"

# returnDanglingLifetime takes a pointer out of a struct passed by value for one into it; both
# compilers know the difference and warn themselves.
check() {
    local cache=$REPO/build/lint/cppcheck
    mkdir -p "$cache"
    [ "$PWD" = "$REPO" ] || cache=$(mktemp -d -p "$PWD")
    product_files | { grep '\.c$' || true; } >"$cache/files"
    [ -s "$cache/files" ] || return 0
    timeout 600 cppcheck --quiet --std=c11 --language=c -j 2 -D_GNU_SOURCE -Ilib -I. \
        --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unmatchedSuppression \
        --suppress=normalCheckLevelMaxBranches --suppress=checkersReport --suppress=returnDanglingLifetime \
        --template='{file}:{line}: {id}: {message}' \
        --cppcheck-build-dir="$cache" --file-list="$cache/files"
}

plant() {
    passes "a small function" lib/util/a.c 'int tg_a(int n) { return n + 1; }'
    caught "a read outside an array" lib/util/a.c 'int tg_a(void) { int a[2] = {1, 2}; return a[2]; }'
}

lint "$@"
