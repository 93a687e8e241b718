#!/usr/bin/env bash
# tsan - thread programs under the thread sanitizer, and the functional tests that say
# "also under tsan" in a comment (the ones in which threads meet).
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test stack
scripts/node-modules.sh
build tsan

reports_to() {
    mkdir -p "$1"
    export TSAN_OPTIONS=log_path=$1/tsan:second_deadlock_stack=1:suppressions=$ROOT/tests/tsan.supp
}

reports_to "$ROOT/$TG_OUT/planted"
planted race build/tsan/tests/racing_fault "$ROOT/$TG_OUT/planted"

reports_to "$ROOT/$TG_OUT/threads"
each race build/tsan/tests/*_race
no_reports "thread programs" "$ROOT/$TG_OUT/threads"

reports_to "$ROOT/$TG_OUT/gateway"
export TIDEGATE_BIN=$ROOT/build/tsan/tidegate
export TG_HTTP1_SERVER=$ROOT/build/tsan/tests/http1_server
if [ -x "$TIDEGATE_BIN" ]; then
    mapfile -t files < <(grep -l 'also under tsan' tests/functional/*.test.mjs)
    node_tests "${files[@]}"
    no_reports "gateway" "$ROOT/$TG_OUT/gateway"
fi
