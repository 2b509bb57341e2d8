#!/bin/bash
# The verb `ready`: what a command must know before it takes the lock.

# Prints what a command must know before it takes the lock: JSON of `HelperAnswer` in warpbeam/host/facts.py. Input: the
# slot whose memory is wanted, or an empty line.
verb_ready() {
  local activating=false maintenance=false memory=0
  input 'a slot, or nothing,'
  [[ $REPLY == '' || $REPLY == a || $REPLY == b ]] || die 'expected a slot (a or b), or nothing, on standard input'
  slot=$REPLY
  # systemd keeps that directory as long as the unit runs (RuntimeDirectory=, systemd.exec(5)).
  if [[ -e /run/$app-activate ]]; then activating=true; fi
  if in_maintenance; then maintenance=true; fi
  if [[ -n $slot ]]; then
    memory_of "$(property "$app@$slot.service" MainPID)"
    memory=$REPLY
  fi
  object version "$VERSION" activating: "$activating" maintenance: "$maintenance" memory: "$memory"
  printf '%s\n' "$REPLY"
}
