#!/bin/bash
# The verb `stop`.

# Clients are led to the live slot up to its end, so from now on no SYN cookie leaves its ports (guard.nft). Where no
# switch names the live slot, it may be either.
verb_stop() {
  input_slot
  last_switch
  if [[ -n ${PORTS[$slot]} && (-z $REPLY || ${REPLY%% *} == "$slot") ]]; then
    nft "add element inet warpbeam_${app}_guard stopping { ${PORTS[$slot]// /, } }" || true
  fi
  systemctl stop -- "$app@$slot.service"
}
