# process.sh - processes of ./run, each with a file .run/pid/<name>. Sourced.
#
# The file holds the process id and the time at which it began, so that a number that the
# system has given to somebody else meanwhile is never taken for ours.

PIDS=.run/pid

# began PID: its start time in clock ticks after boot; fails for the dead and for zombies.
began() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # What follows the name, which may hold blanks and brackets: fields 3 and later.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] || return 1
    echo "${20}"
}

remember() { # NAME PID
    local when
    mkdir -p "$PIDS"
    when=$(began "$2") || return 0
    echo "$2 $when" >"$PIDS/$1"
}

# pid_of NAME: prints it when that very process lives.
pid_of() {
    local pid when now
    [ -f "$PIDS/$1" ] || return 1
    read -r pid when <"$PIDS/$1" || return 1
    now=$(began "$pid") && [ "$now" = "$when" ] || return 1
    echo "$pid"
}

# launch NAME COMMAND...: in a session of its own (a Ctrl-C is for us, who stop things in
# order), its output in .run/log/<name>.log, standard output in .run/<name>.out if OUT=own.
launch() {
    local name=$1
    shift
    mkdir -p .run/log
    if [ "${OUT:-}" = own ]; then
        setsid "$@" >".run/$name.out" 2>".run/log/$name.log" </dev/null &
    else
        setsid "$@" >".run/log/$name.log" 2>&1 </dev/null &
    fi
    remember "$name" $!
}

# finish NAME SECONDS: SIGTERM, and SIGKILL to what is still there after so long.
finish() {
    local pid ticks=$(($2 * 20))
    if pid=$(pid_of "$1"); then
        kill -TERM "$pid" 2>/dev/null || true
        while [ "$ticks" -gt 0 ] && pid_of "$1" >/dev/null; do
            sleep 0.05
            ticks=$((ticks - 1))
        done
        if pid_of "$1" >/dev/null; then
            say "$1 did not end within $2 s and is killed"
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$PIDS/$1"
}

# until_true NAME SECONDS COMMAND...: waits for a condition while the process lives.
until_true() {
    local name=$1 ticks=$(($2 * 10))
    shift 2
    while ! "$@"; do
        if ! pid_of "$name" >/dev/null; then
            say "$name has ended; the end of .run/log/$name.log:"
            tail -n 20 ".run/log/$name.log" >&2
            return 1
        fi
        ticks=$((ticks - 1))
        if [ "$ticks" -le 0 ]; then
            say "$name is not ready in time; the end of .run/log/$name.log:"
            tail -n 20 ".run/log/$name.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# port CONFIGURED PREFERRED: the configured one, which must be free; else the preferred one
# if it is free; else any.
port() {
    local p=$1
    if [ -n "$p" ]; then
        is_free "$p" || die "port $p is taken"
    else
        p=$2
        until is_free "$p"; do
            p=$((20000 + RANDOM % 12000))
        done
    fi
    echo "$p"
}
