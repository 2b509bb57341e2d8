#!/bin/bash
# Whether an instance is healthy, as the inventory asks: by HTTP on the slot's own port, or, for an app without HTTP, by an
# expression that its node must find true.
#
# Parameters: ports (of slot a and b; further pairs are for others), health_path, health_status, health_rpc (empty: HTTP), health_interval, health_timeout,
# health_deadline (seconds), health_settle (hundredths of a second that a new instance must stay healthy).
: "${ports?}" "${health_path?}" "${health_status?}" "${health_rpc?}" "${health_interval?}" "${health_timeout?}"
: "${health_deadline?}" "${health_settle?}" "${door?}"

port_of() { if [[ $1 == a ]]; then echo "${ports[0]}"; else echo "${ports[1]}"; fi; }

# well SLOT: whether its instance is healthy now; health_said has what it said.
well() {
  if [[ -z $health_rpc ]]; then
    healthy "$(port_of "$1")" "$health_path" "$health_status" "$health_timeout"
  elif health_said=$(printf '%s\n%s' "$1" "$health_rpc" | timeout "$health_timeout" sudo -n -- "$door" well 2>&1); then
    health_said=true
  else
    health_said=$(tail -n 1 <<<"$health_said")
    return 1
  fi
}

# health_asked SLOT: what is asked, in words, for a message.
health_asked() {
  if [[ -z $health_rpc ]]; then
    echo "http://127.0.0.1:$(port_of "$1")$health_path said $health_said; expected $health_status"
  else
    echo "$health_rpc said $health_said; expected true"
  fi
}
