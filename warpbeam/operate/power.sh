#!/bin/bash
# Stops or starts the instance of the live slot. Which release is live does not change.
#
# Parameters: root, app, helper, token and lease (of the deploy lock; lease in seconds), verb (stop, start), those of
# note_action.sh and of health.sh.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${verb?}"

still_ours "$lease"
read_links
slot=$live
[[ -n $slot ]] || refuse 'nothing is live' 'deploy first'
step "$verb"
sudo -n -- "$helper" "$verb" <<<"$slot" || {
  note_action failed "its unit did not $verb"
  fail "$app@$slot.service did not $verb" "see journalctl -u $app@$slot on the host"
}
if [[ $verb == start ]]; then
  # systemd has counted the restarts of an instance that failed before now; only new ones matter.
  before=$(restarts_of "$slot")
  sudo -n -- "$helper" reconcile </dev/null
  step health
  (until_healthy "$slot" "$before" 'it was started') || {
    note_action failed 'it was started, but is not healthy'
    exit 4
  }
fi
note_action 'done'
answer release "$live_release" state "$(systemctl show --property=ActiveState --value -- "$app@$slot.service")"
