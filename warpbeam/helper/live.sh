#!/bin/bash
# Finds the live slot, its release and its main process.

# Sets `slot` to the live slot.
live_slot() {
  read_links
  [[ -n $live ]] || cannot "nothing is live: $ROOT/current does not lead to a slot"
  slot=$live
}

# Sets `release` to the release that `current` leads to, by the text of the links alone.
live_release() {
  live_slot
  release=${linked[$slot]}
  [[ -n $release ]] || die "$ROOT/slots/$slot does not lead to a release"
}

# Sets `pid` to the main process of the live slot.
live_process() {
  live_slot
  main_process
}

# Sets `pid` to the main process of `slot`.
main_process() {
  pid=$(property "$APP@$slot.service" MainPID)
  ((pid > 0)) || cannot "$APP@$slot.service is not running: \`fab $ENVIRONMENT start\` starts it"
}
