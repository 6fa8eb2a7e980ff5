# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What scripts/demo and scripts/test share. Sourced with the project's root as working directory.

# What the host build itself needs; tests need more.
# shellcheck disable=SC2034 # used by the scripts that source this
build_packages=(gcc libc6-dev cmake make pkg-config libcurl4-openssl-dev libmbedtls-dev libcjson-dev
    libmicrohttpd-dev zlib1g-dev python3 ca-certificates)

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "needs root or sudo to run: $*"
    fi
}

# Package lists are fetched once in a run, and only if something is to be installed.
refresh_package_lists() {
    if [ -z "${package_lists_are_fresh:-}" ]; then
        say "fetching the lists of packages"
        as_root apt-get -qq update
        package_lists_are_fresh=1
    fi
}

# Packages with a daemon start it when they are installed, and at each start of the machine. Nothing here needs that: the
# tests start an nginx of their own.
install_without_services() {
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [ ! -e "$policy" ]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install "$@" >/dev/null || status=$?
    if [ -n "$own_policy" ]; then
        as_root rm -f "$policy"
    fi
    if [[ " $* " == *" nginx "* ]] && command -v systemctl >/dev/null; then
        as_root systemctl --quiet disable nginx 2>/dev/null || true
    fi
    return "$status"
}

# Installs those of the named Debian packages that are not there; touches nothing if all are.
install_missing() {
    local package missing=()
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here: please see to it that you have what Debian calls: $*"
        return
    fi
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    say "installing ${missing[*]}"
    refresh_package_lists
    install_without_services "${missing[@]}" || fail "apt-get could not install: ${missing[*]}"
}

# Sets `clang_packages`: what fuzzing needs. Debian has the runtime of fuzzer and sanitizers in a package that clang only
# recommends, named after its version; Ubuntu 22.04 has none of its own.
find_clang_packages() {
    local version
    clang_packages=(clang)
    if ! command -v apt-get >/dev/null; then
        return
    fi
    is_installed clang || refresh_package_lists
    version=$(apt-cache depends clang 2>/dev/null | sed -nE 's/.*Depends: clang-([0-9]+)$/\1/p' || true)
    if apt-cache show "libclang-rt-$version-dev" >/dev/null 2>&1; then
        clang_packages+=("libclang-rt-$version-dev")
    fi
}

# Published firmware to work with, if there is any: sets `fixtures`, empty without.
find_fixtures() {
    fixtures=${SELF_REFLASHER_FIXTURES:-../shared/fixtures}
    if [ -f "$fixtures/mcuboot-nuttx/app_upd.bin" ]; then
        fixtures=$(cd "$fixtures" && pwd)
    else
        fixtures=
    fi
}

# build_in DIR CMAKE_OPTION...; with the variable `build_target` set only this target. What the tools say goes to
# DIR/build.log, and is shown if they fail.
build_in() {
    local folder=$1 log=$1/build.log
    shift
    mkdir -p "$folder"
    if ! { cmake -S . -B "$folder" "$@" &&
        cmake --build "$folder" --parallel "$(nproc)" ${build_target:+--target "$build_target"}; } >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        fail "could not build in $folder; all of it is in $log"
    fi
}

build_fuzz_targets() {
    build_target=fuzz build_in build-fuzz -DCMAKE_C_COMPILER=clang -DSR_FUZZ=ON -DSR_TESTS=OFF
}
