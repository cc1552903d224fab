#!/usr/bin/env bash
# Bring a Chromium for the tests of the live page, from Debian, where that needs nobody's answer.
#
# Without one the tests are skipped and say so; this never fails, never asks, and waits for no
# network longer than four minutes.
set -uo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/progress.sh"
for name in chromium chromium-headless-shell chromium-browser google-chrome chrome; do
  command -v "$name" >/dev/null && exit 0
done

without() {
  say "no Chromium: $*. The tests of the live page are skipped.
    Bring it with: sudo apt-get update && sudo apt-get install -y chromium"
  exit 0
}

[ -r "${OS_RELEASE:=/etc/os-release}" ] && distribution=$(. "$OS_RELEASE" && printf '%s' "${ID:-}")
[ "${distribution:-}" = debian ] || without "only Debian has it as a plain package"
command -v apt-get >/dev/null || without "there is no apt-get"
become=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true </dev/null 2>/dev/null || without "installing it needs root, or sudo without a password"
  become=(sudo -n)
fi

limit=240
apt() {
  "$@" "${become[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
    apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60 "${what[@]}" \
    </dev/null
}
# Only what waits for the network is cut short, never dpkg.
fetch() {
  what=("$@")
  [ "$SECONDS" -lt "$limit" ] && apt timeout --kill-after=5 $((limit - SECONDS))
}
download() {
  for package in chromium-headless-shell chromium; do
    fetch install -y --no-install-recommends --download-only "$package" && return
  done
  return 1
}

bring() {
  download || { fetch update && download; } || return
  what=(install -y --no-install-recommends --no-download "$package")
  apt
}

step "Chromium for the tests of the live page, from Debian (about 100 MB)" bring \
  || without "Debian's packages cannot be had now"
