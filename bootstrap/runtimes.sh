#!/usr/bin/env bash
# Install the runtimes in runtimes.txt into .venv, for the tests of their backends.
#
# Without one its tests are skipped and say so; this never fails, and waits no longer than five
# minutes.
set -uo pipefail
cd "$(dirname "$0")/.."
source bootstrap/progress.sh

list=bootstrap/runtimes.txt
cmp -s "$list" .venv/.runtimes && exit 0

bring() {
  timeout --kill-after=5 300 .venv/bin/python -m pip --disable-pip-version-check install \
    --quiet --no-deps --only-binary=:all: -r "$list" && cp "$list" .venv/.runtimes
}

step "runtimes for the tests of their backends ($(grep -o '^[a-z][^=]*' "$list" | paste -sd ' '))" bring \
  || say "not all runtimes can be had now. The tests of their backends are skipped."
