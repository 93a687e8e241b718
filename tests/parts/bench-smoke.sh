#!/usr/bin/env bash
# bench-smoke - every benchmark's `smoke` program: does it still run at all. No figure counts.
. "$(dirname "$0")/common.sh"

smoke() {
    one "$(basename "$(dirname "$1")")" timeout -k 5 120 "$1" || true
}
shopt -s nullglob
smokes=(tests/bench/*/smoke)
[ ${#smokes[@]} -gt 0 ] || exit 0
scripts/packages.sh build stack bench
scripts/node-modules.sh
build release
each smoke "${smokes[@]}"
