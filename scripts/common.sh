# common.sh - what every script of the repository starts with. Sourced, never run.
#
# Sets ROOT (the repository) and goes there; every path after that is relative to it.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT
cd "$ROOT"

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$0: $*"
    exit 1
}

# as_root COMMAND...: as it is for root, through sudo for everybody else.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root (or sudo) for: $*"
    fi
}

# quietly LOG COMMAND...: output to a file; its tail is shown when the command fails.
quietly() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        say "failed: $*"
        tail -n 60 "$log" | sed 's/^/    /' >&2
        say "    (all of it: $log)"
        return 1
    fi
}
