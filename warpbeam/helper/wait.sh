#!/bin/bash
# Waits for a child as long as the caller is there.

# wait_for PID: waits for the child PID and exits with its status. Ends the child when the caller goes: when descriptor
# 4 ends, or on a signal. Runs `at_end` last.
at_end() { :; }
wait_for() {
  local job=$1 lifeline status=0
  cat <&4 >/dev/null &
  lifeline=$!
  # shellcheck disable=SC2064 # these very processes
  trap "kill $job $lifeline 2>/dev/null || true; at_end" EXIT
  trap 'exit 143' TERM INT HUP PIPE
  wait -n "$job" "$lifeline" || status=$?
  if kill -0 "$job" 2>/dev/null; then exit 143; fi
  wait "$job" || status=$?
  exit "$status"
}
