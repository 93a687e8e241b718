#!/usr/bin/env bash
# prove.sh - builds the image without Docker, and shows what it promises. Minutes.
#
# The base is made by debootstrap from the Debian mirror that this machine uses itself; buildah
# builds from docker/Dockerfile, podman runs the image, on the host's network, beside a Redis
# that is set up as in compose.yaml. All of it stays in build/docker (--clean removes it).
# Needs root. The last line is "N passed, N failed".
. "$(dirname "$0")/../scripts/common.sh"

WORK=$ROOT/build/docker
STORE=(--root "$WORK/storage" --runroot "$WORK/run" --storage-driver vfs)
PODMAN=(podman "${STORE[@]}" --runtime runc --cgroup-manager cgroupfs)
IMAGE=localhost/tidegate
CONTAINER=tidegate-prove-$$

[ "$(id -u)" = 0 ] || die "needs root: debootstrap and buildah make files of other users"
if [ "${1:-}" = --clean ]; then
    rm -rf "$WORK"
    exit 0
fi

passed=0
failed=0
shows() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$WORK/last.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $what"
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        tail -n 20 "$WORK/last.log" | sed 's/^/    /'
    fi
}

container() {
    "${PODMAN[@]}" "$@"
}

redis=
cleanup() {
    container rm -f -i -t 0 "$CONTAINER" >/dev/null 2>&1 || true
    [ -z "$redis" ] || kill "$redis" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir -p "$WORK"
scripts/packages.sh image
. scripts/process.sh

# --- the base

. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite="$VERSION_CODENAME" '$2 == suite && $3 == "main" {print $1; exit}')
[ -n "$mirror" ] || die "apt names no mirror for $VERSION_CODENAME; run apt-get update"
if [ ! -e "$WORK/base.done" ]; then
    say "making the base with debootstrap ($VERSION_CODENAME, minbase)"
    rm -rf "$WORK/base"
    quietly "$WORK/debootstrap.log" timeout 600 \
        debootstrap --variant=minbase "$VERSION_CODENAME" "$WORK/base" "$mirror"
    quietly "$WORK/import.log" timeout 120 \
        bash -c 'tar -C "$1" -c . | "${@:3}" import - "$2-base"' - "$WORK/base" "$IMAGE" \
        "${PODMAN[@]}"
    rm -rf "$WORK/base"
    touch "$WORK/base.done"
fi

# --- the image

say "building the image with buildah"
shows "buildah builds docker/Dockerfile" timeout 600 buildah "${STORE[@]}" build \
    --isolation chroot --format docker --layers=false --pull-never \
    --build-arg BASE="$IMAGE-base" -f docker/Dockerfile -t "$IMAGE" .
[ "$failed" = 0 ] || exit 1

# The old docker-compose of Debian knows every key but the project's name.
composes() {
    sed '/^name:/d' docker/compose.yaml >"$WORK/compose.yaml"
    SUPABASE_URL=https://project.example SUPABASE_ANON_KEY=key timeout 60 \
        docker-compose --project-directory docker -f "$WORK/compose.yaml" config
}
without_project() {
    ! env -u SUPABASE_URL docker-compose --project-directory docker -f "$WORK/compose.yaml" config
}
shows "compose.yaml is valid" composes
shows "compose.yaml asks for the project" without_project

property() { # TEMPLATE VALUE
    [ "$(container image inspect --format "$1" "$IMAGE")" = "$2" ]
}
shows "the image's user is not root" property '{{.Config.User}}' 10001:10001
shows "the image has its health check" property '{{.Config.Healthcheck.Test}}' \
    '[CMD tidegate --healthcheck]'
run() {
    timeout 60 "${PODMAN[@]}" run --rm --network host "${LIMITS[@]}" "$@"
}
# What compose.yaml gives the gateway, and limits that this machine may set.
nofile=$(ulimit -Hn)
LIMITS=(--read-only --cap-drop all --security-opt no-new-privileges
    --ulimit "nofile=$nofile:$nofile" --ulimit "nproc=4096:4096")
none_inside() { # COMMAND...
    run --entrypoint sh "$IMAGE" -c '! command -v "$0"' "$1"
}
shows "the program runs" run "$IMAGE" --version
shows "it finds every library" run --entrypoint sh "$IMAGE" -c \
    '! ldd /usr/local/bin/tidegate | grep "not found"'
shows "it holds no compiler" none_inside cc
shows "it holds no curl" none_inside curl
bad_start() {
    local rc=0
    run "$IMAGE" || rc=$?
    [ "$rc" = 3 ]
}
shows "without a project it says so and ends with 3" bad_start

# --- a running container

redis_port=$(port "" 16390)
gateway_port=$(port "" 18080)
admin_port=$(port "" 19090)
redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$WORK" --save "" --appendonly no \
    --maxmemory 64mb --maxmemory-policy noeviction >"$WORK/redis.log" 2>&1 &
redis=$!
start() {
    timeout 60 "${PODMAN[@]}" run --detach --name "$CONTAINER" --network host "${LIMITS[@]}" \
        -e TIDEGATE_SERVER_LISTEN="127.0.0.1:$gateway_port" \
        -e TIDEGATE_ADMIN_LISTEN="127.0.0.1:$admin_port" \
        -e TIDEGATE_SERVER_DRAIN_TIMEOUT=5s \
        -e TIDEGATE_SUPABASE_URL=http://127.0.0.1:1 -e TIDEGATE_SUPABASE_ANON_KEY=anon \
        -e TIDEGATE_STORE_URL="redis://127.0.0.1:$redis_port" "$IMAGE"
}
healthy() {
    timeout 20 "${PODMAN[@]}" healthcheck run "$CONTAINER"
}
within() { # SECONDS COMMAND...
    local ticks=$(($1 * 10))
    shift
    until "$@"; do
        ticks=$((ticks - 1))
        [ "$ticks" -gt 0 ] || return 1
        sleep 0.1
    done
}
unhealthy() {
    ! healthy
}
not_root() {
    [ "$(awk '/^Uid:/ {print $2}' "/proc/$(container inspect --format '{{.State.Pid}}' "$CONTAINER")/status")" = 10001 ]
}
own_error() {
    curl -s -m 5 "http://127.0.0.1:$gateway_port/nothing" | grep -q '"code":"TG440"'
}
drained() {
    timeout 30 "${PODMAN[@]}" stop -t 20 "$CONTAINER" &&
        [ "$(container wait "$CONTAINER")" = 0 ] &&
        container logs "$CONTAINER" 2>&1 | grep 'event=stop'
}
shows "a container starts" start
shows "its health check passes" within 20 healthy
shows "its process is not root" not_root
shows "it answers on its port" own_error
kill "$redis"
wait "$redis" 2>/dev/null || true
redis=
shows "its health check fails while Redis is away" within 20 unhealthy
shows "SIGTERM drains it, and it ends with 0" drained

size=$(container image inspect --format '{{.Size}}' "$IMAGE")
base=$(container image inspect --format '{{.Size}}' "$IMAGE-base")
echo "the image adds $(((size - base) / 1048576)) MiB to its base ($((base / 1048576)) MiB here)"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
