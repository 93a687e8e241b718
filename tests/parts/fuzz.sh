#!/usr/bin/env bash
# fuzz - each libFuzzer target for FUZZ_SECONDS (10), from its corpus. A find is left in
# the part's folder; shrunk, it belongs into the corpus, where the unit part replays it.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test
build fuzz
fuzz() {
    local name work
    name=$(basename "$1")
    work=$TG_OUT/$name.corpus
    mkdir -p "$work"
    one "$name" timeout -k 5 $((${FUZZ_SECONDS:-10} + 60)) "$1" -max_total_time="${FUZZ_SECONDS:-10}" \
        -max_len=8192 -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$TG_OUT/$name-" "$work" "tests/fuzz/corpus/${name#fuzz_}" || true
}
shopt -s nullglob
each fuzz build/fuzz/tests/fuzz/fuzz_*
