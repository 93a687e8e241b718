# servers.sh - what the benchmarks share: pinned servers on free ports, stopped at the end.
# Sourced by tests/bench/*/{http,fanout,smoke}.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/common.sh"
. scripts/process.sh

BIN=build/release/tidegate
TOOLS=build/release/tests/bench
BENCH_NGINX=$(command -v nginx || echo /usr/sbin/nginx)
BENCH_HAPROXY=$(command -v haproxy || echo /usr/sbin/haproxy)
JWT_SECRET=bench-secret-of-at-least-thirty-two-bytes
# One core for the server under test, the other one for whatever drives it.
SERVER_CORE=0
CLIENT_CORE=$(($(nproc) > 1 ? 1 : 0))
# Descriptors of a process: 9,000 streams and room.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

PIDS=
DIR=$(mktemp -d)

stop_all() {
    local pid
    for pid in $PIDS; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in $PIDS; do
        wait "$pid" 2>/dev/null || true
    done
    PIDS=
}
trap 'stop_all; rm -rf "$DIR"' EXIT

# serve CORE NAME PORT COMMAND...: starts it on that core and waits for its port. Sets PID.
serve() {
    local core=$1 name=$2 port=$3 ticks=100
    shift 3
    taskset -c "$core" "$@" >"$DIR/$name.log" 2>&1 </dev/null &
    PID=$!
    PIDS+=" $PID"
    while is_free "$port"; do
        ticks=$((ticks - 1))
        if [ $ticks = 0 ] || ! kill -0 "$PID" 2>/dev/null; then
            tail -n 20 "$DIR/$name.log" >&2
            die "$name does not start"
        fi
        sleep 0.05
    done
}

b64url() {
    base64 -w0 | tr '+/' '-_' | tr -d '='
}

# token ROLE [SUB]: a JWT that the gateways of the benchmarks accept, good for an hour.
token() {
    local head claims
    head=$(printf '{"alg":"HS256","typ":"JWT"}' | b64url)
    claims=$(printf '{"role":"%s","sub":"%s","iss":"supabase","aud":"authenticated","exp":%d}' \
        "$1" "${2:-}" $(($(date +%s) + 3600)) | b64url)
    printf '%s.%s.%s' "$head" "$claims" \
        "$(printf '%s.%s' "$head" "$claims" |
            openssl dgst -sha256 -hmac "$JWT_SECRET" -binary | b64url)"
}

SERVICE_KEY=$(token service_role)

# gateway NAME PORT ADMIN-PORT UPSTREAM-PORT [STORE-URL [STREAMS-KEYS]]: one worker on the
# server's core. Topics `bench:<key>` are published and public.
gateway() {
    cat >"$DIR/$1.yaml" <<END
server: {listen: "127.0.0.1:$2", workers: 1, max_connections: 12000}
admin: {listen: "127.0.0.1:$3"}
supabase:
  url: http://127.0.0.1:$4
  anon_key: $(token anon)
  service_key: $SERVICE_KEY
  jwt_secret: $JWT_SECRET
topics:
  bench: { public: true }
streams: {max: 12000, per_user: 20000, per_address: 20000${6:+, $6}}
devices: {per_user: 1000}
store: {url: "${5:-}"}
log: {level: warn}
END
    serve "$SERVER_CORE" "$1" "$2" "$BIN" --config "$DIR/$1.yaml"
}

# nginx_with NAME CORE PORT DIRECTIVES [MAIN-DIRECTIVES]: one worker. Sets PID to the worker.
nginx_with() {
    local master ticks=100
    mkdir -p "$DIR/$1"
    cat >"$DIR/$1/nginx.conf" <<END
${5:-}
user $(id -un);
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid $DIR/$1/pid;
error_log $DIR/$1/error.log;
events { worker_connections 19000; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $DIR/$1/body;
    proxy_temp_path $DIR/$1/proxy;
    fastcgi_temp_path $DIR/$1/fastcgi;
    uwsgi_temp_path $DIR/$1/uwsgi;
    scgi_temp_path $DIR/$1/scgi;
    $4
}
END
    serve "$2" "$1" "$3" "$BENCH_NGINX" -p "$DIR/$1" -c "$DIR/$1/nginx.conf" -e "$DIR/$1/error.log"
    master=$PID
    # The master listens before it has a worker.
    until PID=$(pgrep -P "$master"); do
        ticks=$((ticks - 1))
        [ $ticks -gt 0 ] || die "$1 has no worker"
        sleep 0.05
    done
}

# cpu_ns PID: CPU time of all threads of a process.
cpu_ns() {
    cat /proc/"$1"/task/*/schedstat | awk '{ns += $1} END {printf "%.0f\n", ns}'
}

# ratio A B: A divided by B.
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN {if (b > 0) printf "%.2f\n", a / b; else print "-"}'
}

machine() {
    printf '%s, %s cores, Linux %s, %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
        "$(uname -r)" "$(date +%F)"
}

# Builds the gateway and the programs of the benchmarks, release preset.
build_bench() {
    scripts/packages.sh build bench
    scripts/build.sh release -DTG_BENCH=ON
}
