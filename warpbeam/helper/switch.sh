#!/bin/bash
# The verb `switch`: leads clients to a slot.

# Prints whether the public ports lead there now: `maintenance on` or `off`, or `redirect cleared` (`firewall.clear`).
verb_switch() {
  input_slot
  # An activation asks twice. A command that moves the ports in between takes the lock, which empties the file.
  last_switch
  if [[ $REPLY != "$slot $$" ]]; then
    # An instance need not listen at any port; but no client is led to a port that another user holds.
    # shellcheck disable=SC2086 # ports, in words
    strangers "$APP_USER" "$app@$slot.service" ${PORTS[$slot]}
    [[ -z $REPLY ]] || cannot "$REPLY: nothing was led there"
    lock
    redirect "$slot"
    make_room
    printf '%s\n' "$slot $$" >&9 2>/dev/null || true
    unlock
  fi
  if ! in_maintenance && [[ ! -e $ETC/redirect-$slot.nft ]]; then echo 'redirect cleared'; else told_maintenance; fi
}
