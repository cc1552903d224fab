# Source this: puts .venv, its ROS prefix where it has one, and install/ into the environment.
_aegis_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_aegis_flags=$-
set +u
export PATH="$_aegis_root/.venv/bin:$PATH"
if [ -f "$_aegis_root/.venv/local_setup.bash" ]; then
  source "$_aegis_root/.venv/local_setup.bash"
fi
if [ -f "$_aegis_root/install/local_setup.bash" ]; then
  source "$_aegis_root/install/local_setup.bash"
fi
# An apt-installed ROS runs the system's Python: let programs see the libraries of .venv.
if [ ! -f "$_aegis_root/.venv/local_setup.bash" ] && [ -d "$_aegis_root/.venv" ]; then
  for _aegis_site in "$_aegis_root"/.venv/lib/python3.*/site-packages; do
    export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$_aegis_site"
  done
fi
case $_aegis_flags in *u*) set -u ;; esac
unset _aegis_root _aegis_flags _aegis_site
