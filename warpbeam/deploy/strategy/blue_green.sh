#!/bin/bash
# The strategy `blue-green`: the new instance starts beside the old one, which drains when the new one has the traffic.
#
# Parameters: drain (seconds that an instance may take to finish), those of connections.sh.
: "${drain?}"

# replace_instance: the steps in order. `undo` is what give_up runs, from the first to the last.
replace_instance() {
  undo=(lead_to_old leave_slot restore_old)
  listen_drops_before=$(listen_drops)
  take_slot
  start_new
  await_new
  leave_balancer
  undo=(lead_to_old finish_new leave_slot restore_old)
  lead_to_new
  make_current
  lead_again
  if [[ -n $live ]]; then
    drain_old || go_back
    stop_old || tidy=false
  fi
}

# lead_to_old: leads new connections to the old instance, first of all, because it is still running.
lead_to_old() {
  if [[ -z $live ]]; then return 0; fi
  call_helper switch "$live" || true
  again='as before'
}

# finish_new: clients that were led to the new instance by now get their answers.
finish_new() {
  if [[ -z $live ]]; then return 0; fi
  again=again
  if is_running "$idle"; then finish_with "$idle"; fi
}

# go_back: gives all traffic back to the old instance, because the new one ended while the old one was draining.
go_back() {
  step back
  call_helper undrain "$live" || true
  call_helper switch "$live" || true
  take_back_current
  give_up 'it ended by itself soon after it had become live'
}

# drain_old: the old instance finishes its requests. False: the new one has ended meanwhile.
drain_old() {
  local least=0
  step drain
  if (($(listen_drops) != listen_drops_before)); then least=5; fi
  finish_with "$live" "$least" "$idle"
}

# finish_with SLOT [LEAST NEW]: drains the instance in SLOT until no client is connected to it, LEAST seconds at least
# and `drain` seconds at most; `cut` is how many connections are open then. False: the instance in slot NEW has ended.
finish_with() {
  local began
  uptime_seconds
  began=$REPLY
  call_helper drain "$1" || true
  # `<=`, because these are whole seconds: a drain is never shorter than promised.
  while connections "$1" && cut=$REPLY && since "$began" && (((cut > 0 || REPLY < ${2-0}) && REPLY <= drain)); do
    if [[ -n ${3-} ]] && ! is_running "$3"; then return 1; fi
    pause 0.2
  done
  [[ -z ${3-} ]] || is_running "$3"
}
