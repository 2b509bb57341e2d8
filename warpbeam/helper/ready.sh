#!/bin/bash
# The verb `ready`: what a command must know before it takes the lock.

# Prints what a command must know before it takes the lock. Input: the slot whose memory is wanted, or an empty line.
verb_ready() {
  input 'a slot, or nothing,'
  [[ $REPLY == '' || $REPLY == a || $REPLY == b ]] || die 'expected a slot (a or b), or nothing, on standard input'
  slot=$REPLY
  printf 'helper %s\n' "$VERSION"
  # systemd keeps that directory as long as the unit runs (RuntimeDirectory=, systemd.exec(5)).
  if [[ -e /run/$app-activate ]]; then echo 'activating yes'; else echo 'activating no'; fi
  if [[ -n $slot ]]; then
    memory_of "$(property "$app@$slot.service" MainPID)"
    printf 'memory %s\n' "$REPLY"
  fi
  told_maintenance
}
