#!/bin/bash
# Runs phases of a bundle on this host, each in a bash of its own, with the values that only this run knows.
#
# Parameters: renew_text (the phase that renews the lease), lease (seconds), gap (seconds that the lease lasts between
# two hooks).
: "${renew_text?}" "${lease?}" "${gap?}"

values='' interrupted=false phase_pid='' renewer=''

# parameter NAME VALUE, parameters_of NAME [VALUE ...]: a parameter of the next phase.
parameter() {
  local text
  printf -v text '%s=%q\n' "$1" "$2"
  values+=$text
}
parameters_of() {
  local text=''
  if (($# > 1)); then printf -v text ' %q' "${@:2}"; fi
  values+="$1=(${text# })"$'\n'
}

# interrupt: passes on to the phase that this script is asked to stop: an activation then undoes its work, or finishes.
interrupt() {
  interrupted=true
  if [[ -n $phase_pid ]]; then kill -TERM "$phase_pid" 2>/dev/null || true; fi
}

# perform TEXT [INPUT]: runs a phase, with the file INPUT on its standard input. False where it did not answer; see
# `hear` for what it leaves.
perform() {
  local line out status=0 text=$values$1
  values='' ending='' said='' message='' hint='' kind='' texts=()
  # The phase gets none of this script's files.
  exec {out}< <(exec /bin/bash --norc -p <(printf '%s' "$text") <"${2:-/dev/null}" 3<&- 4<&- 5<&-)
  phase_pid=$!
  while IFS= read -r -u "$out" line; do hear "$line"; done
  wait "$phase_pid" || status=$?
  phase_pid=''
  exec {out}<&-
  # A phase may be ended between the answers of its parts.
  if [[ -z $ending || ($ending == answer && $status != 0) ]]; then
    ending=''
    message="the phase ended without an answer (status $status)" hint='`fab ENV status` reads back what is running'
  fi
  [[ $ending == answer ]]
}

# renew_meanwhile: has the lease of the lock renewed as long as this script runs. A hook must leave nothing behind that
# holds its output open.
renew_meanwhile() {
  local script=$$
  (
    trap - TERM INT HUP
    exec </dev/null >/dev/null 2>&1 3<&- 4<&- 5<&-
    while pause 25 && kill -0 "$script"; do
      /bin/bash --norc -p <(printf 'token=%q\nlease=%q\n%s' "$token" "$lease" "$renew_text") || true
    done
  ) &
  renewer=$!
}

# keep_lock: ends the renewals, and has the lease last until the next hook begins.
keep_lock() {
  stop_renewing
  parameter token "$token"
  parameter lease "$gap"
  perform "$renew_text" || return 1
}

stop_renewing() {
  if [[ -n $renewer ]]; then
    kill "$renewer" 2>/dev/null || true
    wait "$renewer" 2>/dev/null || true
  fi
  renewer=''
}
