#!/bin/bash
# The job of an activation: starts a release in the idle slot, and makes it live when it is healthy. It runs on the host
# as the deploy user, in $app-activate.service; the privileged helper does what needs root. Its records go to
# activation/log, its result to activation/result.
#
# This is the skeleton; `replace_instance` and its undo are the strategy's (deploy/strategy/).
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), release (to make
# live), those of health.sh and of the parts in deploy/job/, drain (for the strategy), job_id (its result and its
# history entry have it).
: "${root?}" "${app?}" "${helper?}" "${release?}" "${drain?}" "${job_id?}"

stopped='it was asked to stop'
# The release is live, and stays so.
renamed=false
# Nothing has failed since then.
tidy=true
# Connections that were open when an instance was stopped.
cut=0

# A log line that a full disk does not take must not end the job.
record() { printf '\036%s\n' "$1" 2>/dev/null || true; }

asked_to_stop() { [[ $cancelled == true || -e cancel ]]; }

# hundredths: the uptime in hundredths of a second, in REPLY.
hundredths() { read -r REPLY _ </proc/uptime; REPLY=${REPLY/./}; }

# open_log: has records go to the log, and a signal ask the job to stop.
open_log() {
  cd -- "$root/activation"
  exec >>log 2>&1
  cancelled=false
  trap 'cancelled=true' TERM INT HUP
}

# open_helper: starts the privileged helper, which stays open as long as the job runs: the job calls it a dozen times.
open_helper() {
  coproc { exec sudo -n -- "$helper" serve; }
  # Use fds 8 and 9: bash does not pass a coproc's own fds to subshells (bash(1), Coprocesses), and shared parts use
  # lower ones.
  exec 8>&"${COPROC[1]}" 9<&"${COPROC[0]}"
  trap '' PIPE
}

# call_helper VERB [INPUT]: has the helper run VERB; its output is in `helper_said`. Returns the verb's status.
call_helper() {
  local said
  helper_said=''
  { printf '%s\n' "$@" >&8; } 2>/dev/null || return 1
  while IFS= read -r said <&9; do
    if [[ $said == '= '* ]]; then return "${said#= }"; fi
    helper_said+=$said
  done
  return 1
}

# note_beginning: notes when the job began, which entry was begun for it, and what is live: `live` and `left` are the
# slot and the release of the old instance (empty: nothing is live), `idle` the slot for the new one.
note_beginning() {
  hundredths
  began_hundredths=$REPLY
  printf -v began_at '%(%s)T'
  opened=true
  read_pending || opened=false
  read_links
  left=$live_release
  if [[ $live == a ]]; then idle=b; else idle=a; fi
}

# end_with KIND JSON OUTCOME [PROBLEM]: writes the history entry, then the result: a command that has received the
# result finds the entry. The result is written aside and renamed, so that a reader sees all of it or nothing. OUTCOME
# and PROBLEM (a JSON string) are for the entry. Where the disk has no room for it, finish.sh writes it after pruning.
end_with() {
  local problem=${4-\"\"}
  hundredths
  if [[ $opened == true ]]; then
    with_spare_space write_out "$3" "$(((REPLY - began_hundredths) / 10 + pending_spent))" "$problem" || true
  fi
  with_spare_space write_result result.new "$job_id" "$3" "$problem" "$1" "$2"
  mv -f -- result.new result
  # Sync the rename too: otherwise a power loss soon after takes the result back, though not the release.
  sync -- . || true
}

# fail_with MESSAGE HINT OUTCOME [LINE ...]: ends the job, whose release did not become live.
fail_with() {
  local message
  quoted "$1"
  message=$REPLY
  array "${@:4}"
  object message: "$message" hint "$2" lines: "$REPLY"
  end_with failed "$REPLY" "$3" "$message"
  exit 1
}

# give_up REASON: restores what was live before by the strategy's `undo`, writes a result with the app's own last lines,
# and ends the job.
give_up() {
  trap - ERR
  set +e
  # The functions of `undo` read `why` and set the others.
  local why=$1 again=again serving='nothing was live before' app_lines=() each outcome=failed \
    hint='`fab ENV logs` shows what the app says of itself'
  step undo
  for each in "${undo[@]}"; do "$each"; done
  if ((${#app_lines[@]})); then hint="the lines above are the app's own; \`fab ENV logs\` shows more"; fi
  if [[ $why == "$stopped" ]]; then outcome=interrupted; fi
  fail_with "$release did not become live: $why; $serving" "$hint" "$outcome" "${app_lines[@]}"
}

# conclude: ends the job once the release is live. Where something has failed since then (`tidy` is false), its status
# is not 0, so that ExecStopPost= has the helper reconcile what runs with `current`.
conclude() {
  trap - ERR
  set +e
  hundredths
  object slot "$idle" release "$release" left "$left" pid: "$pid" seconds: "$(((REPLY - began_hundredths) / 100))" \
    cut: "$cut" maintenance: "$maintenance"
  end_with answer "$REPLY" "${pending_success:-done}"
  [[ $tidy == true ]]
  exit
}

# unforeseen LINE COMMAND: handles a command that failed unexpectedly. Before the rename of `current` the activation is
# undone; after it the release is live, and stays so.
unforeseen() {
  local status=$?
  printf 'line %s: status %s: %s\n' "$1" "$status" "$2" >&2
  if ((BASH_SUBSHELL > 0)); then return 0; fi
  if [[ $renamed == true ]]; then
    warn "\`$2\` failed with status $status after the release had become live"
    tidy=false
    conclude
  fi
  give_up \
    "\`$2\` failed with status $status ($(df --output=avail -h -- "$root" | tail -n 1 | tr -d ' ') of disk are free)"
}

main() {
  open_log
  open_helper
  note_beginning
  [[ -d $releases/$release/.warpbeam ]] || fail_with "the release $release is not on this host" '' failed
  trap 'unforeseen "$LINENO" "$BASH_COMMAND"' ERR
  replace_instance
  conclude
}

main
