#!/bin/bash
# Stops or starts the instance of the live slot. What is live does not change.
#
# Parameters: root, app, helper, token, lease, verb (stop, start), those of noted.sh and of health.sh.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${verb?}"

still_ours "$lease"
read_links
slot=$live
[[ -n $slot ]] || refuse 'nothing is live' 'deploy first'
step "$verb"
sudo -n -- "$helper" "$verb" <<<"$slot" || {
  noted failed "its unit did not $verb"
  fail "$app@$slot.service did not $verb" "see journalctl -u $app@$slot on the host"
}
if [[ $verb == start ]]; then
  # One that kept failing until now has been counted; what matters is whether it does so again.
  before=$(restarts_of "$slot")
  sudo -n -- "$helper" reconcile </dev/null
  step health
  (until_well "$slot" "$before" 'it was started') || {
    noted failed 'it was started, but is not healthy'
    exit 4
  }
fi
noted 'done'
answer release "$live_release" state "$(systemctl show --property=ActiveState --value -- "$app@$slot.service")"
