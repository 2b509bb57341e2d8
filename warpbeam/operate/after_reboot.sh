#!/bin/bash
# Waits, after a boot, until the live instance runs by itself and is healthy, and the public port leads there. Takes the
# deploy lock again, because a boot ends it.
#
# Parameters: root, token and lease (of the deploy lock; lease in seconds), those of note_action.sh and of health.sh.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}"

still_ours "$lease"
read_links
slot=$live
if [[ -n $slot ]]; then
  step health
  (until_healthy "$slot" 0 'it booted') || {
    note_action failed 'it booted, but is not healthy'
    exit 4
  }
  uptime_seconds
  began=$REPLY
  until [[ $(sudo -n -- "$helper" status </dev/null) =~ (\"redirect\":\[|redirect\ )[0-9] ]]; do
    since "$began"
    ((REPLY < health_deadline)) || {
      note_action failed 'it booted and is healthy, but no public port leads there'
      fail 'it booted and is healthy, but no public port leads there' "see journalctl -u $app-firewall on the host"
    }
    pause "${health_pauses[-1]}"
  done
fi
note_action 'done'
answer release "$live_release"
