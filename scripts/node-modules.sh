#!/usr/bin/env bash
# node-modules.sh - `npm ci` for tests/, only when the lock file is not the installed one.
. "$(dirname "$0")/common.sh"

# One at a time: npm empties the folder before it fills it.
mkdir -p build/log
exec 9>build/log/npm-ci.lock
flock 9

stamp=tests/node_modules/.tidegate-lock
if ! cmp -s tests/package-lock.json "$stamp"; then
    say "installing the Node packages of the local stack"
    quietly build/log/npm-ci.log npm ci --prefix tests --no-audit --no-fund
    cp tests/package-lock.json "$stamp"
fi
