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
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install "${missing[@]}" >/dev/null
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

# build_in DIR CMAKE_OPTION...
build_in() {
    local folder=$1
    shift
    cmake -S . -B "$folder" "$@"
    cmake --build "$folder" --parallel "$(nproc)"
}
