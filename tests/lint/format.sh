#!/usr/bin/env bash
# format - clang-format finds nothing to change. Its versions disagree with each other, so
# only version 14 (Debian 12) is asked.
. "$(dirname "$0")/common.sh"

check() {
    [ -f .clang-format ] || cp "$REPO/.clang-format" .
    if ! clang-format --version | grep -q 'version 14\.'; then
        echo "note: formatting is not checked: $(clang-format --version)"
        return 0
    fi
    all_files | xargs -r clang-format --dry-run -Werror
}

plant() {
    passes "formatted" lib/util/a.c 'int tg_a = 1;'
    if clang-format --version | grep -q 'version 14\.'; then
        caught "not formatted" lib/util/a.c 'int   tg_a=1 ;'
    fi
}

lint "$@"
