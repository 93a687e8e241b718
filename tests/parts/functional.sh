#!/usr/bin/env bash
# functional - the release binary, warnings as errors, against the local stack and Redis.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test stack
scripts/node-modules.sh
build release dev # dev holds the test servers
export TIDEGATE_BIN=$ROOT/build/release/tidegate
shopt -s nullglob
node_tests tests/functional/*.test.mjs
