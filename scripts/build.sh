#!/usr/bin/env bash
# build.sh [--configure] PRESET [CMAKE-ARGUMENT...] - builds a preset of CMakePresets.json.
#
# Warnings are errors when TG_WERROR=ON stands in the environment, as ./test puts it.
. "$(dirname "$0")/common.sh"

configure_only=no
if [ "${1:-}" = --configure ]; then
    configure_only=yes
    shift
fi
[ $# -gt 0 ] || die "usage: $0 [--configure] PRESET [CMAKE-ARGUMENT...]"
preset=$1
shift

quietly "build/log/configure-$preset.log" cmake --preset "$preset" \
    -DTG_WERROR="${TG_WERROR:-OFF}" "$@"
[ "$configure_only" = yes ] ||
    quietly "build/log/build-$preset.log" cmake --build "build/$preset" -j "$(nproc)"
