#!/bin/bash
# Finds the live slot, its release and its main process.

# Sets `slot` to the live slot.
live_slot() {
  read_links
  [[ -n $live ]] || cannot "nothing is live: $root/current does not lead to a slot"
  slot=$live
}

# Sets `release` to the release that `current` leads to, by the text of the links alone.
find_live_release() {
  live_slot
  release=$live_release
  [[ -n $release ]] || die "$root/slots/$slot does not lead to a release"
}

# Sets `pid` to the main process of the live slot.
live_process() {
  live_slot
  find_main_process
}

# Sets `pid` to the main process of `slot`.
find_main_process() {
  pid=$(property "$app@$slot.service" MainPID)
  ((pid > 0)) || cannot "$app@$slot.service is not running: \`fab $ENVIRONMENT start\` starts it"
}
