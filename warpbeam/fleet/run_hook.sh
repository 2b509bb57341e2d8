#!/bin/bash
# Runs a hook, a program of the user's own, as the user of this shell, and emits its output line by line.
#
# Parameters: title (the hook in messages), program (a path; empty: `text` is the program), text (the program),
# directory (in which it runs; the home directory where that is missing), variables (NAME=VALUE), seconds (its time
# limit).
: "${title?}" "${program?}" "${text?}" "${directory?}" "${variables[@]-}" "${seconds?}"

# The hook runs in a process group of its own, which timeout(1) makes. So a signal that ends this script must end the
# hook too, even before the hook has started.
job='' ended=false
trap 'ended=true; [[ -z $job ]] || kill "$job" 2>/dev/null || true' TERM INT HUP
work=$(mktemp -d -- "${HOME:-/tmp}/.warpbeam-hook.XXXXXXXX") ||
  refuse 'a hook needs room in the home directory' 'make some there'
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
  # `export` only assigns: it expands nothing in a value.
  for pair in "${variables[@]}"; do export "${pair?}"; done
  exec timeout --kill-after=5 "$seconds" "$program"
}

! $ended || exit 143
uptime_seconds
began=$REPLY
hook </dev/null >"$work/out" 2>&1 &
job=$!
! $ended || kill "$job" 2>/dev/null || true
# Not a pipe from the hook: a process that it leaves in the background would keep the pipe open.
tail --pid="$job" --sleep-interval=0.05 --lines=+1 --follow -- "$work/out" |
  while IFS= read -r said || [[ -n $said ]]; do line "$said"; done &
teller=$!
while true; do
  status=0
  wait "$job" || status=$?
  kill -0 "$job" 2>/dev/null || break
done
wait "$teller" || true
if ((status)); then
  # The hook's output was shown as it came, so the message does not repeat it.
  how="ended with status $status"
  since "$began"
  # timeout(1) ends the hook with these statuses. The hook may choose them itself, so the elapsed time decides.
  if ((REPLY >= seconds && (status == 124 || status == 137))); then how="did not end within $seconds s"; fi
  if ((status == 126 || status == 127)); then how+=' (no such program, or it may not be executed)'; fi
  fail "$title $how"
fi
answer done: true
