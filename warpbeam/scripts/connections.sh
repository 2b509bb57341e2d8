#!/bin/bash
# How many clients an instance has.
#
# Parameters: ports (that the instances in slot a and b serve, in pairs).
: "${ports?}"

# connections SLOT: how many are connected to its instance, on any of its ports, or about to be, in REPLY.
connections() {
  local i first=0 any='' lines
  [[ $1 == a ]] || first=1
  for ((i = first; i < ${#ports[@]}; i += 2)); do any+="${any:+ or }sport = :${ports[i]}"; done
  mapfile -t lines < <(ss -Htn state established state syn-recv "( $any )")
  REPLY=${#lines[@]}
}
