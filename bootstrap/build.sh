#!/usr/bin/env bash
# Build the package with colcon into install/, when something that is installed has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
source bootstrap/activate.sh

sources=(CMakeLists.txt package.xml setup.py bootstrap/programs.py msg srv action launch config aegis_ros)
stamp=$(find "${sources[@]}" -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [ "$(cat install/.complete 2>/dev/null)" = "$stamp $PWD" ]; then
  exit 0
fi
printf '\033[1m==>\033[0m building with colcon (about a minute the first time)\n'
arguments=(-DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$PWD/.venv/bin/python")
if [ -f .venv/local_setup.bash ]; then
  arguments+=(-DCMAKE_PROJECT_INCLUDE="$PWD/bootstrap/ros_wheels.cmake")
fi
rm -f install/.complete
colcon build --event-handlers console_cohesion- --cmake-args "${arguments[@]}"
printf '%s' "$stamp $PWD" > install/.complete
