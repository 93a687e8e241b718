#!/usr/bin/env bash
# untested - exported functions that no test names. tests/lint/untested.txt holds those that
# need none, each with its reason: "<function> <reason>". Others are listed as notes; an entry
# without a reason, or for a function that is gone, fails.
. "$(dirname "$0")/common.sh"

LIST=tests/lint/untested.txt

exported() {
    product_files | { grep '\.h$' || true; } | while read -r header; do
        code "$header"
    done | perl -0ne '
        s/^\h*#(?:[^\n\\]|\\.)*//gms;
        s/\{[^{}]*\}/;/g for 1 .. 4;
        while (/(?:^|[;\n])((?:(?!static|typedef)[\w\s\*])*?)\b(tg_\w+)\s*\([^;{]*;/g) {
            my ($before, $name) = ($1, $2);
            next if $before =~ /\bstatic\b/ || $before !~ /\w/;
            print "$name\n";
        }' | sort -u
}

check() {
    local bad=0 untested=0 name reason
    touch "$LIST" 2>/dev/null || { mkdir -p tests/lint && touch "$LIST"; }
    exported >.exported.$$
    find tests -name node_modules -prune -o -name '*.[ch]' -print0 |
        xargs -0 -r grep -ohE '\btg_[a-z0-9_]+' | sort -u >.tested.$$ || true
    while read -r name reason; do
        case $name in '' | '#'*) continue ;; esac
        if [ -z "$reason" ]; then
            echo "$LIST:1: $name has no reason"
            bad=1
        elif ! grep -qx "$name" .exported.$$; then
            echo "$LIST:1: $name is not exported any more"
            bad=1
        elif grep -qx "$name" .tested.$$; then
            echo "note: $name has a test, its entry can go"
        fi
    done <"$LIST"
    while read -r name; do
        if ! grep -q "^$name " "$LIST"; then
            echo "untested: $name"
            untested=$((untested + 1))
        fi
    done < <(comm -23 .exported.$$ .tested.$$)
    rm -f .exported.$$ .tested.$$
    [ "$untested" -eq 0 ] || echo "note: $untested exported functions are named by no unit test"
    return $bad
}

plant() {
    passes "an entry with a reason" lib/util/a.h 'int tg_a(int n);' \
        tests/lint/untested.txt 'tg_a calls the operating system only'
    caught "an entry without a reason" lib/util/a.h 'int tg_a(int n);' tests/lint/untested.txt 'tg_a'
    caught "an entry for nothing" lib/util/a.h 'int tg_a(int n);' tests/lint/untested.txt 'tg_b because'
}

lint "$@"
