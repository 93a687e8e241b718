# common.sh - what every check of tests/lint/ starts with.
#
# A check defines
#   check         looks at the tree in the current folder, prints each violation as
#                 "<file>:<line>: <what>", returns non-zero when there is one;
#   plant         calls caught (and passes) with small trees, to show that check sees what
#                 it is for, and nothing else;
# and ends with: lint "$@". `<check>.sh` checks the repository, `<check>.sh --self-test`
# runs plant, `<check>.sh DIRECTORY` checks that tree.
set -euo pipefail
export LC_ALL=C

LINT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LINT_DIR/../.." && pwd)

# The C files of the product, sorted; of everything.
product_files() {
    local dir
    for dir in lib config realtime sync handlers server; do
        [ ! -d "$dir" ] || find "$dir" -name '*.[ch]'
    done | sort
}

all_files() {
    {
        product_files
        [ ! -d tests ] || find tests -name node_modules -prune -o -name '*.[ch]' -print
    } | sort
}

# code FILE: its text without comments, and with empty string and character literals. Lines
# stay where they are. The names in #include "..." stay too.
code() {
    perl -0pe 's{
        (^\h*\#\h*include\b[^\n]*)
        | /\*.*?\*/ | //[^\n]*
        | "(?:[^"\\\n]|\\.)*" | \x27(?:[^\x27\\\n]|\\.)*\x27
    }{ defined $1 ? $1 : do { my $m = $&; my $q = substr($m, 0, 1);
        $q eq "/" ? ($m =~ tr/\n//cdr) || " " : $q . $q } }gmsex' "$1"
}

# banned FILE PATTERN WHAT: every line of its code that matches (an extended regex of perl).
banned() {
    code "$1" | PATTERN=$2 WHAT=$3 FILE=$1 perl -ne '
        if (/$ENV{PATTERN}/) { print "$ENV{FILE}:$.: $ENV{WHAT}: $&\n"; $n++ }
        END { exit($n ? 1 : 0) }'
}

SELF_TREE=
tree() { # tree [FILE CONTENT]...: a fresh small tree
    rm -rf "$SELF_TREE"
    SELF_TREE=$(mktemp -d)
    while [ $# -gt 0 ]; do
        mkdir -p "$SELF_TREE/$(dirname "$1")"
        printf '%s\n' "$2" >"$SELF_TREE/$1"
        shift 2
    done
}

# caught WHAT [FILE CONTENT]...: the tree must be refused.
caught() {
    local what=$1
    shift
    tree "$@"
    if (cd "$SELF_TREE" && check) >/dev/null 2>&1; then
        echo "not caught: $what"
        exit 1
    fi
    echo "caught: $what"
}

# passes WHAT [FILE CONTENT]...: the tree must not be.
passes() {
    local what=$1
    shift
    tree "$@"
    if ! (cd "$SELF_TREE" && check); then
        echo "wrongly refused: $what"
        exit 1
    fi
    echo "passes: $what"
}

lint() {
    trap 'rm -rf "$SELF_TREE"' EXIT
    if [ "${1:-}" = --self-test ]; then
        plant
    else
        cd "${1:-$REPO}"
        check
    fi
}
