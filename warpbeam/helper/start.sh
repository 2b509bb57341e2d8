#!/bin/bash
# The verb `start`.

verb_start() {
  local fresh=no reason
  input_slot
  if has_peers; then guard_nodes; fi
  # systemd keeps this directory as long as an instance is there (RuntimeDirectory=, systemd.exec(5)).
  if [[ ! -e /run/$app-$slot ]]; then
    fresh=yes
    read_links
  fi
  if [[ $ADMISSION == yes ]]; then
    [[ $fresh == yes ]] || read_links
    linked_release "$slot"
    approve "$slot" "$REPLY" || cannot "$reason"
  fi
  systemctl start -- "$app@$slot.service"
  # A start succeeds without its record: /proc says almost always the same.
  if [[ $fresh == yes ]]; then record_instance "$slot" 2>/dev/null || true; fi
}
