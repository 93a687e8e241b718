#!/usr/bin/env bash
# threads - the thread programs as they are; part tsan runs them under the sanitizer.
. "$(dirname "$0")/common.sh"

scripts/packages.sh build test
build dev
each race build/dev/tests/*_race
