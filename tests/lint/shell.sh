#!/usr/bin/env bash
# shell - every shell script parses, and shellcheck has nothing to say about it.
. "$(dirname "$0")/common.sh"

scripts() {
    {
        find . \( -name node_modules -o -name build -o -name .git -o -name .run \) -prune -o \
            -type f -size -200k -print0 | xargs -0 -r grep -lE -m1 '^#!.*\b(bash|sh)$'
        find . \( -name node_modules -o -name build \) -prune -o -name '*.sh' -type f -print
    } | sort -u
}

check() {
    local bad=0 file
    while read -r file; do
        bash -n "$file" || bad=1
    done < <(scripts)
    # SC1090, SC1091: sourced files are named by a variable. SC2034: set for who sources.
    scripts | xargs -r shellcheck --shell=bash --severity=warning --exclude=SC1090,SC1091,SC2034 || bad=1
    return $bad
}

plant() {
    passes "a small script" scripts/a.sh '#!/usr/bin/env bash
echo "$1"'
    caught "a script that does not parse" scripts/a.sh '#!/usr/bin/env bash
if true; then'
    caught "a command in a variable that is never read right" test '#!/usr/bin/env bash
rm -rf $UNSET/*
cd "$1"
for f in $(ls *.c); do echo "$f"; done'
}

lint "$@"
