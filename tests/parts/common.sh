# common.sh - what every part of ./test starts with: counting, and running one program.
#
# TG_OUT is the part's folder for logs, TG_COUNTS the file with one line per thing run:
# "<passed> <failed> <name>".
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

: "${TG_OUT:=build/test/by-hand}"
: "${TG_COUNTS:=$TG_OUT/counts}"
export TG_WERROR=ON
mkdir -p "$TG_OUT"

count() {
    printf '%d %d %s\n' "$1" "$2" "$3" >>"$TG_COUNTS"
}

# one NAME COMMAND...: a thing that passes or fails as a whole.
one() {
    local name=$1
    shift
    if quietly "$TG_OUT/${name//[^a-zA-Z0-9_.-]/_}.log" "$@"; then
        count 1 0 "$name"
    else
        count 0 1 "$name"
        return 1
    fi
}

# build PRESET...: counts each; ends the part when one fails.
build() {
    local preset
    for preset in "$@"; do
        one "build-$preset" scripts/build.sh "$preset" || exit 1
    done
}

# criterion PROGRAM: counts its tests by its own synthesis. One that does not reach its
# synthesis, or whose exit status disagrees with it, has failed.
criterion() {
    local name log rc=0 tested=0 passing=0
    name=$(basename "$1")
    log=$TG_OUT/$name.log
    timeout -k 5 "${UNIT_TIMEOUT:-300}" "$1" --color=never --jobs 2 >"$log" 2>&1 </dev/null || rc=$?
    read -r tested passing < <(sed -n \
        's/.*Synthesis: Tested: \([0-9]*\) | Passing: \([0-9]*\).*/\1 \2/p' "$log" | tail -n 1) || true
    if [ -z "${tested:-}" ] || { [ "$rc" -ne 0 ] && [ "$tested" = "$passing" ]; }; then
        count "${passing:-0}" 1 "$name (status $rc)"
    else
        count "$passing" $((tested - passing)) "$name"
    fi
    if [ "$rc" -ne 0 ] || [ "${tested:-0}" != "${passing:-0}" ]; then
        say "failed: $name (status $rc)"
        grep -v 'Skip' "$log" | tail -n 60 | sed 's/^/    /' >&2
    fi
}

# each FUNCTION PATTERN...: for every file that exists among the patterns' matches.
each() {
    local fn=$1 file
    shift
    for file in "$@"; do
        [ ! -f "$file" ] || "$fn" "$file"
    done
}

# no_reports WHAT DIRECTORY: sanitizers write there; any file is a failure.
no_reports() {
    local reports=()
    mapfile -t reports < <(find "$2" -type f -size +0 | sort)
    if [ ${#reports[@]} -eq 0 ]; then
        count 1 0 "no sanitizer report: $1"
    else
        count 0 ${#reports[@]} "sanitizer reports: $1, in $2"
        head -n 60 "${reports[0]}" | sed 's/^/    /' >&2
    fi
}

# Programs that pass or fail as a whole, for `each`.
race() {
    one "$(basename "$1")" timeout -k 5 180 "$1" || true
}

replay() {
    local name
    name=$(basename "$1")
    one "$name" timeout -k 5 60 "$1" "tests/fuzz/corpus/${name#replay_}" || true
}

# planted NAME PROGRAM DIRECTORY: the check of the check. The program has a fault on purpose;
# its report must be found where no_reports looks.
planted() {
    "$2" >"$TG_OUT/$1.log" 2>&1 </dev/null || true
    if [ -n "$(find "$3" -type f -size +0)" ]; then
        count 1 0 "planted $1 is seen"
    else
        count 0 1 "planted $1 is NOT seen"
    fi
}

# node_tests FILE...: each file in a process of its own, at most FUNCTIONAL_JOBS at once and
# FUNCTIONAL_TIMEOUT seconds each.
node_tests() {
    [ $# -gt 0 ] || return 0
    printf '%s\0' "$@" | xargs -0 -n 1 -P "${FUNCTIONAL_JOBS:-2}" bash tests/parts/node-file.sh
}
