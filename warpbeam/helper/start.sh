#!/bin/bash
# The verb `start`.

verb_start() {
  input_slot
  if has_peers; then guard_nodes; fi
  systemctl start -- "$app@$slot.service"
}
