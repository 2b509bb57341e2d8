#!/bin/bash
# Stops or starts the instance of the live slot. What is live does not change.
#
# Parameters: root, app, door, token, lease, verb (stop, start), ports, health_path, health_status, health_timeout,
# health_deadline.
: "${root?}" "${app?}" "${door?}" "${token?}" "${lease?}" "${verb?}" "${ports?}" "${health_path?}" "${health_status?}"
: "${health_timeout?}" "${health_deadline?}"

still_ours "$lease"
slot=$(live_slot)
[[ -n $slot ]] || refuse 'nothing is live' 'deploy first'
step "$verb"
sudo -n -- "$door" "$verb" <<<"$slot" || fail "$app@$slot.service did not $verb" "see journalctl -u $app@$slot on the host"
if [[ $verb == start ]]; then
  sudo -n -- "$door" reconcile </dev/null
  port=${ports[0]}
  if [[ $slot == b ]]; then port=${ports[1]}; fi
  step health
  began=$SECONDS
  until healthy "$port" "$health_path" "$health_status" "$health_timeout"; do
    if ((SECONDS - began >= health_deadline)) || (($(systemctl show --property=NRestarts --value -- "$app@$slot.service") > 0)); then
      mapfile -t lines < <(printf '%s\n' 30 '10 min ago' '' "$slot" '' | sudo -n -- "$door" logs)
      fail "it was started, but is not healthy: $health_path said $health_said; expected $health_status" 'the lines above are its own' "${lines[@]}"
    fi
    sleep 0.2
  done
fi
answer release "$(slot_release "$slot")" state "$(systemctl show --property=ActiveState --value -- "$app@$slot.service")"
