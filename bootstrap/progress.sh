# Source this: runs long commands with one line that says how far they are.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

# step TEXT COMMAND...: the command's own output goes to a log and is shown if the command fails.
# On a terminal the line counts the seconds; in a pipe it comes every half minute. Compilers say
# "[ 42%]", which is shown, too.
step() {
  local text=$1 began=$SECONDS status=0 log reporter
  shift
  log=$(mktemp)
  _report "$text" "$log" &
  reporter=$!
  "$@" >"$log" 2>&1 || status=$?
  kill "$reporter" 2>/dev/null || true  # under `set -e` its end must not be ours
  wait "$reporter" 2>/dev/null || true
  if [ "$status" = 0 ]; then
    say "$text: $((SECONDS - began)) s"
  else
    say "$text: failed after $((SECONDS - began)) s"
    tail -n 40 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

_report() {
  local began=$SECONDS part start='    ' end='\n' pause=30
  if [ -t 1 ]; then
    start='\r\033[K    ' end='' pause=1
    trap 'printf "\r\033[K"; exit' TERM
  fi
  while sleep "$pause" >/dev/null 2>&1 & wait $!; do  # it must not hold our pipe open
    kill -0 $$ 2>/dev/null || exit 0
    part=$(tail -c 4000 "$2" | grep -oE '\[ *[0-9]+%\]' | tail -n 1 | tr -d '[] ') || part=
    printf "$start%s: %s$end" "$1" "${part:+$part, }$((SECONDS - began)) s"
  done
}
