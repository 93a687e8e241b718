#!/usr/bin/env bash
# unit - both compilers without a warning, then the Criterion programs and corpora.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test stack # the tests of the store run a Redis of their own
build dev clang
each criterion build/dev/tests/unit_*
each replay build/dev/tests/fuzz/replay_*
