#!/bin/bash
# Runs a hook: a program of the user's own, as whoever this is, and tells its output line by line.
#
# Parameters: title, program (a path, or empty: `text` is the program), text, directory (where it runs; else at home),
# variables (NAME=VALUE), seconds that it may take.
: "${title?}" "${program?}" "${text?}" "${directory?}" "${variables[@]-}" "${seconds?}"

# It runs in a process group of its own, that timeout(1) makes: who ends us ends it too, however early that is.
job='' ended=false
trap 'ended=true; [[ -z $job ]] || kill "$job" 2>/dev/null || true' TERM INT HUP
work=$(mktemp -d -- "${HOME:-/tmp}/.warpbeam-hook.XXXXXXXX") || refuse 'a hook needs room in the home directory' 'make some there'
trap 'rm -rf -- "$work"' EXIT
: >"$work/out"
if [[ -z $program ]]; then
  program=$work/hook
  printf '%s' "$text" >"$program"
  chmod 700 -- "$program"
fi

hook() {
  local pair
  cd -- "$directory" 2>/dev/null || cd
  unset LC_ALL
  # A value is only ever assigned: nothing in it is expanded.
  for pair in "${variables[@]}"; do export "${pair?}"; done
  exec timeout --kill-after=5 "$seconds" "$program"
}

! $ended || exit 143
uptime_seconds
began=$REPLY
hook </dev/null >"$work/out" 2>&1 &
job=$!
! $ended || kill "$job" 2>/dev/null || true
# Not a pipe from the hook itself: what it leaves running in the background would keep that open.
tail --pid="$job" --sleep-interval=0.05 --lines=+1 --follow -- "$work/out" | while IFS= read -r said || [[ -n $said ]]; do line "$said"; done &
teller=$!
while true; do
  status=0
  wait "$job" || status=$?
  kill -0 "$job" 2>/dev/null || break
done
wait "$teller" || true
if ((status)); then
  # What it said was shown as it came.
  how="ended with status $status"
  since "$began"
  # timeout(1) ends it so; so may others, and it may end so itself.
  if ((REPLY >= seconds && (status == 124 || status == 137))); then how="did not end within $seconds s"; fi
  if ((status == 126 || status == 127)); then how+=' (no such program, or it may not be executed)'; fi
  fail "$title $how"
fi
answer done: true
