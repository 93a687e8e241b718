#!/usr/bin/env bash
# lint - every check of tests/lint/, and that each catches what it plants itself.
# With TG_LINT_QUICK=1 without clang-tidy and cppcheck.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test
# The compilation database that clang-tidy and the header check read.
scripts/build.sh --configure clang
check() {
    local name
    name=$(basename "$1" .sh)
    case $name in
    common) return ;;
    tidy | cppcheck) [ "${TG_LINT_QUICK:-0}" = 0 ] || return 0 ;;
    esac
    one "lint-$name-catches" bash "$1" --self-test || true
    one "lint-$name" bash "$1" || true
    grep -h '^note: ' "$TG_OUT/lint-$name.log" >&2 || true
}
each check tests/lint/*.sh
