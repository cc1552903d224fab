#!/usr/bin/env bash
# Build the package with colcon into install/, when something that is installed has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(CMakeLists.txt package.xml setup.py pyproject.toml bootstrap/programs.py bootstrap/build.sh
  bootstrap/ros_wheels.cmake msg srv action launch config aegis_ros)
stamp=$( { cat .venv/.complete; echo "$PWD"; find "${sources[@]}" -type f -not -path '*/__pycache__/*' -print0 \
  | LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum)
if [ "$(cat install/.complete 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

# A build folder that was made elsewhere, or with another environment, is of no use here.
made_for="$PWD $(cat .venv/.complete)"
if [ -d build ] && [ "$(cat build/.made_for 2>/dev/null)" != "$made_for" ]; then
  rm -rf build install
fi
source bootstrap/activate.sh
source bootstrap/progress.sh
rm -f install/.complete
mkdir -p build
printf '%s' "$made_for" > build/.made_for
step "messages and package, built with colcon" \
  colcon build --packages-select aegis_ros --event-handlers console_direct+ \
  --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$PWD/.venv/bin/python"
# What an earlier build installed and this one does not (a renamed program, a deleted module).
find install/aegis_ros/lib install/aegis_ros/share/aegis_ros/{launch,config} -type f -not -name '*.pyc' \
  | sed "s|^|$PWD/|" | LC_ALL=C sort \
  | LC_ALL=C comm -23 - <(LC_ALL=C sort build/aegis_ros/install_manifest.txt) | xargs -r -d '\n' rm -f
printf '%s' "$stamp" > install/.complete
