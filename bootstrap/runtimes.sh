#!/usr/bin/env bash
# Install the runtimes in runtimes.txt into .venv, for the tests of their backends and the demo.
#
# Without one its tests are skipped and say so; this never fails, and waits no longer than five
# minutes.
set -uo pipefail
cd "$(dirname "$0")/.."
source bootstrap/progress.sh

list=bootstrap/runtimes.txt
touch .venv/.runtimes_wanted  # bootstrap/environment.sh brings them again where it makes .venv anew
cmp -s "$list" .venv/.runtimes && exit 0

# One by one: what there is no build of for this machine keeps none of the others away.
bring() {
  local requirement missing=0
  while read -r requirement _; do
    case $requirement in '' | '#'*) continue ;; esac
    timeout --kill-after=5 $((SECONDS < 300 ? 300 - SECONDS : 1)) .venv/bin/python -m pip \
      --disable-pip-version-check install --quiet --no-deps --only-binary=:all: "$requirement" \
      </dev/null || missing=1
  done <"$list"
  [ "$missing" = 0 ] && cp "$list" .venv/.runtimes
}

step "runtimes for the tests of their backends ($(grep -o '^[a-z][^=]*' "$list" | paste -sd ' '))" bring \
  || say "not all runtimes can be had now. The tests of their backends are skipped."
