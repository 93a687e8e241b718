#!/usr/bin/env bash
# node-file.sh FILE - runs one node:test file and counts its tests. Part of node_tests.
. "$(dirname "$0")/common.sh"

file=$1
name=$(basename "$file" .test.mjs)
log=$TG_OUT/$name.tap
rc=0
began=$SECONDS

timeout -k 20 "${FUNCTIONAL_TIMEOUT:-300}" node --test --test-reporter=tap "$file" \
    >"$log" 2>&1 </dev/null || rc=$?
number() {
    sed -n "s/^# $1 \([0-9]*\)\$/\1/p" "$log" | tail -n 1
}
passed=$(number pass)
failed=$(number fail)
cancelled=$(number cancelled)
failed=$((${failed:-0} + ${cancelled:-0}))
if [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
fi
count "${passed:-0}" "$failed" "$file (status $rc)"
say "$(printf '   %-44s %4d passed %3d failed %5d s' "$name" "${passed:-0}" "$failed" $((SECONDS - began)))"
if [ "$failed" -ne 0 ]; then
    grep -A 25 -E '^ *not ok' "$log" | head -n 120 | sed 's/^/    /' >&2 || true
    [ "$rc" -ne 124 ] || say "    timed out; the end of $log:"
    tail -n 15 "$log" | sed 's/^/    /' >&2
fi
