# Source this: puts .venv, its ROS prefix where it has one, and install/ into the environment.
_aegis_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_aegis_flags=$-
set +u
export PATH="$_aegis_root/.venv/bin:$PATH"
for _aegis_prefix in .venv install; do
  if [ -f "$_aegis_root/$_aegis_prefix/local_setup.bash" ]; then
    source "$_aegis_root/$_aegis_prefix/local_setup.bash"
  fi
done
case $_aegis_flags in *u*) set -u ;; esac
unset _aegis_root _aegis_flags _aegis_prefix
