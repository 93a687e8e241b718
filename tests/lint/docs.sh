#!/usr/bin/env bash
# docs - the lists of docs/ are those of the code: every result of lib/util/rc.h in ERRORS.md
# with its status and text, every event word in LOGGING.md, every metric in OPERATIONS.md; and
# nothing besides.
. "$(dirname "$0")/common.sh"

# same FILE LIST-OF-CODE LIST-OF-DOC: lists are sorted and unique, one entry a line.
same() {
    local bad=0
    while read -r entry; do
        [ -z "$entry" ] || { echo "$1: missing: $entry" && bad=1; }
    done < <(comm -23 <(printf '%s\n' "$2") <(printf '%s\n' "$3"))
    while read -r entry; do
        [ -z "$entry" ] || { echo "$1: not in the code: $entry" && bad=1; }
    done < <(comm -13 <(printf '%s\n' "$2") <(printf '%s\n' "$3"))
    return $bad
}

results_of_code() {
    perl -0ne 'while (/X\(TG_\w+,\s*"(TG\d+)",\s*(\d+),\s*(true|false),\s*"([^"]*)"\)/g) {
        print "$1 | $2 | ", $3 eq "true" ? "yes" : "no", " | $4\n" unless $1 eq "TG000" }' \
        lib/util/rc.h | sort -u
}

results_of_doc() {
    sed -nE 's/^\| (TG[0-9]+ \| [0-9]+ \| (yes|no) \| [^|]*[^| ]) +\|.*/\1/p' docs/ERRORS.md | sort -u
}

events_of_code() {
    local file
    while read -r file; do
        case $file in
        lib/util/log.[ch]) ;;
        *) perl -0ne 'while (/\btg_log(?:_limited)?\s*\((?:[^"();]|\([^()]*\))*?,\s*"(\w+)"/g) { print "$1\n" }' "$file" ;;
        esac
    done < <(product_files) | sort -u
}

events_of_doc() {
    sed -nE 's/^\| (`[^|]*`) \|.*/\1/p' docs/LOGGING.md | grep -o '`[a-z_]*`' | tr -d '`' | sort -u
}

# The names of workers' counters stand without the prefix in report.c.
metrics_of_code() {
    {
        sed -nE 's/^ +\{"([a-z_]+)", "(counter|gauge)",.*/tidegate_\1/p' server/report.c
        grep -ohE '"tidegate_[a-z_]+"' server/*.c | tr -d '"'
    } | sed 's/^tidegate_tidegate_/tidegate_/' | sort -u
}

metrics_of_doc() {
    sed -nE 's/^\| `(tidegate_[a-z_]+)` \|.*/\1/p' docs/OPERATIONS.md | sort -u
}

check() {
    local bad=0
    if [ -f lib/util/rc.h ]; then
        same docs/ERRORS.md "$(results_of_code)" "$(results_of_doc)" || bad=1
    fi
    if [ -f docs/LOGGING.md ]; then
        same docs/LOGGING.md "$(events_of_code)" "$(events_of_doc)" || bad=1
    fi
    if [ -f server/report.c ]; then
        same docs/OPERATIONS.md "$(metrics_of_code)" "$(metrics_of_doc)" || bad=1
    fi
    return $bad
}

plant() {
    local rc='    X(TG_OK, "TG000", 200, false, "ok") \
    X(TG_EBADREQ, "TG400", 400, false, "Not understood")'
    passes "a result" lib/util/rc.h "$rc" docs/ERRORS.md '| TG400 | 400 | no | Not understood | why |'
    caught "a result that is missing" lib/util/rc.h "$rc" docs/ERRORS.md '| x |'
    caught "another status" lib/util/rc.h "$rc" docs/ERRORS.md '| TG400 | 401 | no | Not understood | |'
    caught "another text" lib/util/rc.h "$rc" docs/ERRORS.md '| TG400 | 400 | no | Nothing | |'
    caught "a result that there is not" lib/util/rc.h "$rc" docs/ERRORS.md \
        '| TG400 | 400 | no | Not understood | |
| TG999 | 500 | no | Odd | |'
    local log='void f(void) { tg_log(n >= 500 ? TG_LOG_WARN : TG_LOG_INFO, "one", TG_KN("a", 1));
    tg_log_limited(level_of(n), "two",
        3, TG_KN("b", 1)); }'
    passes "events" handlers/a.c "$log" docs/LOGGING.md '| `one`, `two` | info | `a` |'
    caught "an event that is missing" handlers/a.c "$log" docs/LOGGING.md '| `one` | info | `two` |'
    caught "an event that there is not" handlers/a.c "$log" docs/LOGGING.md \
        '| `one`, `two`, `three` | info | |'
    local report='    {"streams", "gauge", "Open.", get},
        {"tidegate_feeds", "gauge", "Wanted.", &h->feeds},'
    passes "metrics" server/report.c "$report" docs/OPERATIONS.md '| `tidegate_streams` | x |
| `tidegate_feeds` | x |'
    caught "a metric that is missing" server/report.c "$report" docs/OPERATIONS.md \
        '| `tidegate_streams` | x |'
}

lint "$@"
