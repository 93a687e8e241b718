#!/usr/bin/env bash
# packages.sh PURPOSE... - installs what is missing from Debian's packages.
#
#   build   compiler and libraries of the gateway
#   test    checkers, unit test framework, the peers that functional tests run
#   stack   PostgreSQL, Redis, Node.js: the local stack and ./run
#   bench   the servers that the benchmarks compare with
#   image   what docker/prove.sh builds and runs the container image with
#
# Nothing missing: nothing asked, no network, a few milliseconds.
. "$(dirname "$0")/common.sh"

list_of() {
    case $1 in
    build)
        echo build-essential cmake ninja-build pkg-config libuv1-dev libjansson-dev \
            libcurl4-openssl-dev libwebsockets-dev libhiredis-dev libjwt-dev libssl-dev \
            libyaml-dev libmicrohttpd-dev
        ;;
    test)
        echo clang libclang-rt-dev clang-tidy clang-format llvm cppcheck shellcheck \
            libcriterion-dev haproxy nginx curl
        ;;
    stack)
        echo postgresql redis-server curl ca-certificates
        command -v node >/dev/null || echo nodejs
        command -v npm >/dev/null || echo npm
        ;;
    bench)
        echo nginx libnginx-mod-nchan haproxy wrk
        ;;
    image)
        echo buildah podman runc debootstrap docker-compose redis-server curl
        ;;
    *)
        die "unknown purpose: $1"
        ;;
    esac
}

# Packages whose names carry a version, known once those of list_of are there.
versioned_of() {
    local dir
    [ "$1" = stack ] || return 0
    # The decoder that the stand-in for Realtime reads the WAL with.
    for dir in /usr/lib/postgresql/*/; do
        echo "postgresql-$(basename "$dir")-wal2json"
    done
}

is_installed() {
    local status
    status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) && [ "$status" = installed ]
}

updated=no
install_missing() {
    local missing=() p
    for p in "$@"; do
        is_installed "$p" || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing: ${missing[*]}"
    if [ "$updated" = no ]; then
        quietly build/log/apt-update.log as_root apt-get update
        updated=yes
    fi
    quietly build/log/apt-install.log as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

[ $# -gt 0 ] || die "usage: $0 build|test|stack|bench|image..."
for purpose in "$@"; do
    # shellcheck disable=SC2046 # names without blanks
    install_missing $(list_of "$purpose")
    # shellcheck disable=SC2046
    install_missing $(versioned_of "$purpose")
done
