#!/bin/bash
# Checks whether an instance is healthy, as the inventory says: by HTTP on the slot's own port, at an address that
# clients use, or, for an app without HTTP, by an expression that must be true on its node. An instance that listens
# only where no client arrives is not healthy.
#
# Parameters: ports (of slot a and b, in pairs: the first pair is asked for health), health_path and health_status (the
# HTTP request and the expected status), health_rpc (an expression; empty: HTTP), health_timeout (seconds for one
# check), health_deadline (seconds until the instance must be healthy), health_settle (hundredths of a second for which
# a new instance must stay healthy), health_pauses (seconds between checks, one after the other; the last is for all
# that follow), helper (the privileged helper), app, app_user (the user who must own the listening sockets).
: "${ports[@]-}" "${health_path?}" "${health_status?}" "${health_rpc?}" "${health_pauses?}" "${health_timeout?}"
: "${health_deadline?}" "${health_settle?}" "${helper?}" "${app?}" "${app_user?}"

# port_of SLOT: the port of the slot's instance, in REPLY.
port_of() { if [[ $1 == a ]]; then REPLY=${ports[0]}; else REPLY=${ports[1]}; fi; }

# owned SLOT: whether nobody but the slot's instance listens at its ports, and clients reach them; if not, `stranger`
# says why.
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

# is_healthy SLOT: whether the slot's instance is healthy now. The owner of its sockets is checked only after a good
# answer, because that check costs a process.
is_healthy() {
  answers "$1" || { elsewhere "$1" && answers "$1"; } || return 1
  owned "$1"
}

# elsewhere SLOT: whether the slot's instance, which did not answer, listens at another address than `asked_at`; then
# `asked_at` becomes that address.
elsewhere() {
  local before=$asked_at
  [[ -z $health_rpc && $health_said == 'no answer' ]] && owned "$1" && [[ $asked_at != "$before" ]]
}

# answers SLOT: whether the slot's instance gives the answer of a healthy one; its answer is in health_said.
answers() {
  stranger=''
  if [[ -z $health_rpc ]]; then
    if [[ -z $asked_at ]]; then
      outward
      asked_at=${outward4:-${outward6:-127.0.0.1}}
    fi
    port_of "$1"
    http_answers "$REPLY" "$health_path" "$health_status" "$health_timeout" "$asked_at"
  elif health_said=$(printf '%s\n%s' "$1" "$health_rpc" |
    timeout "$health_timeout" sudo -n -- "$helper" well 2>&1 | tail -c 4096); then
    health_said=true
  else
    health_said=${health_said##*$'\n'}
    return 1
  fi
}

# health_asked SLOT: print the check and its answer in words, for a message.
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

# Seconds until the first note about an instance that is not healthy yet.
first_note=5

# note_unhealthy SLOT SECONDS: emit the answer of an instance that is not healthy after SECONDS, at `note_after` seconds
# and then each time at twice as many.
note_unhealthy() {
  if (($2 >= note_after)); then
    note "not healthy after $note_after s, of at most $health_deadline: $(health_asked "$1")"
    note_after=$((note_after * 2))
  fi
}

# restarts_of SLOT: print how often systemd has restarted the slot's instance.
restarts_of() { systemctl show --property=NRestarts --value -- "$app@$1.service"; }

# until_healthy SLOT RESTARTS EVENT: wait until the slot's instance is healthy. Fail, with its last log lines, when it
# is not healthy by the deadline, or when systemd has restarted it more than RESTARTS times. EVENT begins the message:
# what came before the wait.
until_healthy() {
  local slot=$1 began waited lines why good again note_after=$first_note
  uptime_seconds
  began=$REPLY
  while true; do
    good=false
    if is_healthy "$slot"; then good=true; fi
    # An instance that crashes is not healthy, even when it answers well between two crashes.
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
    note_unhealthy "$slot" "$waited"
    pause "${health_pauses[-1]}"
  done
}
