#!/usr/bin/env bash
# Unpack Debian's Fast DDS into .fastdds/ for the tests of security: that of ROS's wheels has none.
#
# Nothing is installed: its headers in /usr/include would hide those of ROS from CMake. Without it
# the tests are skipped and say so; this never fails, never asks, and waits no longer than two
# minutes for the network.
set -uo pipefail
cd "$(dirname "$0")/.."
source bootstrap/progress.sh

without() {
  say "no Fast DDS with security: $*. Its tests are skipped."
  exit 0
}

folder=$PWD/.fastdds
packages=(libfastrtps2.9 libfastrtps-dev libfastcdr1 libfastcdr-dev libtinyxml2-9
  libfoonathan-memory0.7.2 libfoonathan-memory-dev)
[ -e "$folder/.complete" ] && exit 0
[ -r "${OS_RELEASE:=/etc/os-release}" ] && codename=$(. "$OS_RELEASE" && printf '%s' "${VERSION_CODENAME:-}")
[ "${codename:-}" = bookworm ] || without "it is taken from Debian 12"
command -v apt-get >/dev/null || without "there is no apt-get"

get() {
  timeout --kill-after=5 120 apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=20 "$@" </dev/null
}
bring() {
  rm -rf "$folder" && mkdir -p "$folder/packages" && cd "$folder/packages" || return
  get download "${packages[@]}" || { [ "$(id -u)" = 0 ] && get update && get download "${packages[@]}"; } || return
  local package
  for package in *.deb; do
    dpkg-deb -x "$package" "$folder" || return
  done
  touch "$folder/.complete"
}

step "Fast DDS for the tests of security, from Debian (3 MB)" bring || without "Debian's packages cannot be had now"
