#!/usr/bin/env bash
# asan - unit programs and functional tests under the address, leak and UB sanitizers.
#
# Reports go to files: a leak alone leaves Criterion's exit status at 0, and a gateway that
# a test has killed is asked nothing. A functional test that measures memory or time says
# "not under sanitizers: <why>" in a comment and is left out here.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test stack
scripts/node-modules.sh
build asan

reports_to() {
    mkdir -p "$1"
    export ASAN_OPTIONS=log_path=$1/asan:detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0
    export UBSAN_OPTIONS=log_path=$1/asan:print_stacktrace=1
}

reports_to "$ROOT/$TG_OUT/planted"
planted leak build/asan/tests/leaking_fault "$ROOT/$TG_OUT/planted"

reports_to "$ROOT/$TG_OUT/unit"
each criterion build/asan/tests/unit_*
each replay build/asan/tests/fuzz/replay_*
no_reports "unit programs" "$ROOT/$TG_OUT/unit"

reports_to "$ROOT/$TG_OUT/gateway"
export TIDEGATE_BIN=$ROOT/build/asan/tidegate
export TG_HTTP1_SERVER=$ROOT/build/asan/tests/http1_server
if [ -x "$TIDEGATE_BIN" ]; then
    # The local stack's own tests have no gateway in them.
    mapfile -t files < <(grep -L 'not under sanitizers:' tests/functional/*.test.mjs |
        grep -v /localbase-)
    node_tests "${files[@]}"
    no_reports "gateway" "$ROOT/$TG_OUT/gateway"
fi
