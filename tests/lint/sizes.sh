#!/usr/bin/env bash
# sizes - a C file over 1,000 lines fails; over 600 it is named.
. "$(dirname "$0")/common.sh"

check() {
    local bad=0 n file
    while read -r n file; do
        if [ "$n" -gt 1000 ]; then
            echo "$file:1000: $n lines, 1000 are the end"
            bad=1
        elif [ "$n" -gt 600 ]; then
            echo "note: $file has $n lines; aim for 400"
        fi
    done < <(all_files | xargs -r wc -l | grep -v ' total$')
    return $bad
}

plant() {
    passes "1,000 lines" lib/util/a.c "$(seq 1000)"
    caught "1,001 lines" lib/util/a.c "$(seq 1001)"
}

lint "$@"
