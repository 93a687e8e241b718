#!/usr/bin/env bash
# functional - the release binary, warnings as errors, against the local stack and Redis.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test stack
scripts/node-modules.sh
# The dev preset holds the small servers that some tests speak to.
build release dev
export TIDEGATE_BIN=$ROOT/build/release/tidegate
export TG_HTTP1_SERVER=$ROOT/build/dev/tests/http1_server
shopt -s nullglob
node_tests tests/functional/*.test.mjs
