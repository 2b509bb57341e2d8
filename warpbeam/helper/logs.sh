#!/bin/bash
# The verb `logs`: lines of the app's own units, and of no others.

# Input, a line each: count, since, grep, slot, follow; each may be empty.
verb_logs() {
  local count since pattern which follow cursor arguments=()
  input 'a count'; count=$REPLY
  input 'a time'; since=$REPLY
  input 'a pattern'; pattern=$REPLY
  input 'a slot'; which=$REPLY
  input 'follow'; follow=$REPLY
  [[ $count =~ ^[0-9]{0,6}$ ]] || die 'the count must be a number'
  [[ $since =~ ^[A-Za-z0-9\ :.@+-]*$ ]] || die 'the time holds a character that no time has'
  case $which in
    a | b) arguments+=("--unit=$app@$which.service") ;;
    '') arguments+=("--unit=$app@a.service" "--unit=$app@b.service") ;;
    *) die 'the slot must be a or b' ;;
  esac
  [[ -z $count ]] || arguments+=("--lines=$count")
  [[ -z $since ]] || arguments+=("--since=$since")
  [[ -z $pattern ]] || arguments+=("--grep=$pattern")
  arguments+=(--no-pager --quiet --output=short-iso)
  # The caller chooses the pattern, and root matches it: a pattern that never ends is ended (SIGXCPU).
  # One that follows the journal for days needs seconds, and so gets more.
  if [[ $follow != yes ]]; then ulimit -t 120; elif [[ -n $pattern ]]; then ulimit -t 600; fi
  if [[ $follow != yes && -n $count && -n $pattern ]]; then
    # With both, journalctl shows the newest first (journalctl(1), --grep): find the oldest of them, and begin there.
    cursor=$(journalctl "${arguments[@]}" --show-cursor </dev/null | sed -n 's/^-- cursor: //p' | tail -n 1)
    [[ -n $cursor ]] || exit 0
    exec journalctl "${arguments[@]/#--lines=*/--cursor=$cursor}" </dev/null
  fi
  if [[ $follow != yes ]]; then
    exec journalctl "${arguments[@]}" </dev/null
  fi
  # The caller closes standard input to end this: without a terminal, nothing else would.
  exec 4<&0
  journalctl --follow "${arguments[@]}" </dev/null &
  wait_for "$!"
}
