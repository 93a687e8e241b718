#!/usr/bin/env bash
# places - the tree names no folder of one machine and no package registry's host, and the
# lock file no address to download from.
. "$(dirname "$0")/common.sh"

MACHINE='(^|[^a-zA-Z0-9_.${})-])/(work|tmp/[a-z]|home/[a-z]+|Users/[a-zA-Z]+)/'
REGISTRY='://(deb|security|snapshot|registry)[.][a-z.]+|(npm|apt|deb|pypi)[a-z0-9.-]*[.](internal|local|corp|lan)\b'

files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files
    else
        find . -type f
    fi | grep -vE '^(\./)?(build/|tests/lint/places\.sh)' || true
}

check() {
    local bad=0 file
    if files | xargs -r -d '\n' grep -nIE "$MACHINE|$REGISTRY" --; then
        echo "the lines above name a place of one machine"
        bad=1
    fi
    while read -r file; do
        if [ -L "$file" ] && [[ $(readlink "$file") == /* ]]; then
            echo "$file: a link to a place of one machine"
            bad=1
        fi
    done < <(files)
    if files | grep -E '(^|/)package-lock\.json$' | xargs -r grep -nE '"resolved":'; then
        echo "the lock file must not name addresses (omit-lockfile-registry-resolved)"
        bad=1
    fi
    return $bad
}

plant() {
    passes "ordinary text" README.md 'See https://supabase.com/docs and $HOME/work/mainline.'
    caught "a folder of one machine" README.md 'cd /wo''rk/main && make'
    caught "a registry" docs/x.md 'https://regis''try.example/ws'
    caught "an address in the lock file" tests/package-lock.json '{"resolved": "https://x/ws.tgz"}'
}

lint "$@"
