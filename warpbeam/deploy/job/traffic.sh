#!/bin/bash
# The steps of a job that lead new connections from one instance to the other.
#
# Parameters: ports and those of health.sh, publics (for each pair of `ports`, the public port that leads there),
# balancer_drain (seconds that the live instance answers 503 at its health path before anything is switched).
: "${ports[@]-}" "${publics[@]-}" "${health_path?}" "${health_status?}" "${health_rpc?}" "${health_timeout?}"
: "${balancer_drain?}"

# leave_balancer: has load balancers that ask for health take this host out. Gives up when the new instance, where it
# runs already (`pid`), ends meanwhile. Undo: restore_old puts the host back in.
leave_balancer() {
  local began
  if [[ -z $live ]] || ((balancer_drain == 0)); then return 0; fi
  step balancer
  call_helper drain "$live" || true
  uptime_seconds
  began=$REPLY
  # `<=`, because these are whole seconds: never less than `balancer_drain`.
  while since "$began" && ((REPLY <= balancer_drain)); do
    if asked_to_stop; then give_up "$stopped"; fi
    if [[ -n ${pid-} ]] && ! is_running "$idle"; then give_up 'it ended by itself'; fi
    pause 0.2
  done
}

# lead_to_new: leads new connections to the new instance, and asks the public ports. `maintenance` is true where the
# maintenance page still answers there.
lead_to_new() {
  step switch
  call_helper switch "$idle" || {
    owned "$idle" || true
    give_up "the firewall redirect could not be moved${stranger:+: $stranger}"
  }
  maintenance=false
  if [[ $helper_said == 'maintenance on' ]]; then maintenance=true; fi
  if [[ $helper_said == 'maintenance off' ]]; then through_public "$idle" || give_up "$reason"; fi
}

# lead_again: leads new connections to the new instance again, once `current` leads there: a reload of the firewall's
# rules since the first switch has followed the old link.
lead_again() { call_helper switch "$idle" || tidy=false; }

# through_public SLOT: true when each public port leads to the instance in SLOT, which listens in `places`; else
# `reason` names the port that does not. The job asks from this host, where the redirect leads to loopback: a port whose
# listeners have no such address is not asked.
through_public() {
  local i port place address path status tries
  for i in "${!publics[@]}"; do
    if [[ $1 == a ]]; then port=${ports[2 * i]}; else port=${ports[2 * i + 1]}; fi
    address=''
    for place in "${places[@]}"; do
      case $place in
        "$port *" | "$port 0.0.0.0" | "$port 127.0.0.1") address=${outward4:-127.0.0.1} ;;
        "$port [::]" | "$port [::1]") address=${address:-${outward6:-::1}} ;;
      esac
    done
    if [[ -z $address ]]; then continue; fi
    path='' status=connected
    if ((i == 0)) && [[ -z $health_rpc ]]; then path=$health_path status=$health_status; fi
    # Three times: an instance may be too busy to answer once.
    for tries in 1 2 3; do
      if http_answers "${publics[i]}" "$path" "$status" "$health_timeout" "$address"; then continue 2; fi
      pause 0.2
    done
    reason="the public port ${publics[i]}, asked at $address${path:+ for $path}, said $health_said; expected $status"
    return 1
  done
}
