#!/bin/bash
# After a boot: waits until what is live runs by itself, healthy, with the public port leading there. Takes the lock, which a
# boot ends, again.
#
# Parameters: token, lease, and those of health.sh.
: "${root?}" "${app?}" "${door?}" "${token?}" "${lease?}"

still_ours "$lease"
read_links
slot=$live
if [[ -n $slot ]]; then
  step health
  began=$SECONDS
  until well "$slot" && [[ $(sudo -n -- "$door" status </dev/null) != *$'\nredirect \n'* ]]; do
    if ((SECONDS - began >= health_deadline)) || (($(systemctl show --property=NRestarts --value -- "$app@$slot.service") > 0)); then
      mapfile -t lines < <(printf '%s\n' 30 '10 min ago' '' "$slot" '' | sudo -n -- "$door" logs)
      fail "it booted, but is not healthy: $(health_asked "$slot")" 'the lines above are the app'"'"'s own' "${lines[@]}"
    fi
    sleep "$health_interval"
  done
  slot=$live_release
fi
answer release "$slot"
