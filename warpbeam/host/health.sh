#!/bin/bash
# Whether an instance is healthy, as the inventory asks: by HTTP on the slot's own port, at an address that clients come by, or,
# for an app without HTTP, by an expression that its node must find true. What listens where no client comes is not healthy.
#
# Parameters: ports (of slot a and b; further pairs are for others), health_path, health_status, health_rpc (empty: HTTP), health_timeout,
# app, app_user (who must listen there), health_deadline (seconds), health_settle (hundredths of a second that a new instance must stay healthy), health_pauses (seconds between two questions, one after
# the other; the last of them for all that follow).
: "${ports?}" "${health_path?}" "${health_status?}" "${health_rpc?}" "${health_pauses?}" "${health_timeout?}"
: "${health_deadline?}" "${health_settle?}" "${helper?}" "${app?}" "${app_user?}"

# port_of SLOT: the port of its instance, in REPLY.
port_of() { if [[ $1 == a ]]; then REPLY=${ports[0]}; else REPLY=${ports[1]}; fi; }

# owned SLOT: whether nobody but its instance listens at its ports, and it where clients come; else `stranger` says what is wrong.
stranger='' unreached='' narrow='' asked_at=''
owned() {
  local i first=0 mine=()
  [[ $1 == a ]] || first=1
  for ((i = first; i < ${#ports[@]}; i += 2)); do mine+=("${ports[i]}"); done
  strangers "$app_user" "$app@$1.service" "${mine[@]}"
  stranger=$REPLY
  if [[ -z $stranger ]]; then
    judge_reach "${mine[@]}"
    stranger=$unreached
  fi
  [[ -z $stranger ]]
}

# well SLOT: whether its instance is healthy now. Who listens is asked after the answer, and only of a good one: it is a
# process more.
well() {
  answers "$1" || { elsewhere "$1" && answers "$1"; } || return 1
  owned "$1"
}

# elsewhere SLOT: whether its instance, which did not answer, listens at another address than was asked.
elsewhere() {
  local before=$asked_at
  [[ -z $health_rpc && $health_said == 'no answer' ]] && owned "$1" && [[ $asked_at != "$before" ]]
}

# answers SLOT: whether a healthy instance would answer so; health_said has what was said.
answers() {
  stranger=''
  if [[ -z $health_rpc ]]; then
    if [[ -z $asked_at ]]; then
      outward
      asked_at=${outward4:-${outward6:-127.0.0.1}}
    fi
    port_of "$1"
    healthy "$REPLY" "$health_path" "$health_status" "$health_timeout" "$asked_at"
  elif health_said=$(printf '%s\n%s' "$1" "$health_rpc" |
    timeout "$health_timeout" sudo -n -- "$helper" well 2>&1 | tail -c 4096); then
    health_said=true
  else
    health_said=${health_said##*$'\n'}
    return 1
  fi
}

# health_asked SLOT: what is asked, in words, for a message.
health_asked() {
  if [[ -n $stranger ]] || ! owned "$1"; then
    echo "$stranger"
  elif [[ -z $health_rpc ]]; then
    if [[ $asked_at == *:* ]]; then asked_at="[$asked_at]"; fi
    if [[ $health_said == 'no HTTP' ]]; then health_said='something else than HTTP (is it TLS?)'; fi
    port_of "$1"
    echo "http://$asked_at:$REPLY$health_path said $health_said; expected $health_status"
  else
    echo "$health_rpc said $health_said; expected true"
  fi
}

# tell_unwell SLOT SECONDS: whoever waits so long for its instance is told what it says, at `tell_after` seconds and then at twice as many.
tell_unwell() {
  if (($2 >= tell_after)); then
    note "not healthy after $tell_after s, of at most $health_deadline: $(health_asked "$1")"
    tell_after=$((tell_after * 2))
  fi
}

# restarts_of SLOT: how often systemd has started its instance again.
restarts_of() { systemctl show --property=NRestarts --value -- "$app@$1.service"; }

# until_well SLOT RESTARTS EVENT: waits until its instance is healthy; fails, with its last lines, when it is not by the deadline
# or has been started again more than RESTARTS times. EVENT is what it should be healthy after.
until_well() {
  local slot=$1 began waited lines why good again tell_after=5
  uptime_seconds
  began=$REPLY
  while true; do
    good=false
    if well "$slot"; then good=true; fi
    # What crashes is not healthy, whatever it answers in between.
    again=$(restarts_of "$slot")
    if [[ $good == true ]] && ((again <= $2)); then return 0; fi
    since "$began"
    waited=$REPLY
    if ((waited >= health_deadline || again > $2)); then
      why=''
      if ((again > $2)); then why="it ended by itself, and systemd started it again"; fi
      if [[ $good == false ]]; then why+="${why:+; }$(health_asked "$slot")"; fi
      mapfile -t lines < <(printf '%s\n' 30 '10 min ago' '' "$slot" '' | sudo -n -- "$helper" logs)
      fail "$3, but is not healthy: $why" 'the lines above are its own' "${lines[@]}"
    fi
    tell_unwell "$slot" "$waited"
    pause "${health_pauses[-1]}"
  done
}
