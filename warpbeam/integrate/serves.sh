#!/bin/bash
# Says whether the release that went live still serves, from what status.sh has read: that is sent before this script,
# and its variables are still there.
#
# Parameters: release (that should be live).
: "${release?}"

if [[ $live_release != "$release" ]]; then
  refuse "$release is not live: \`current\` leads to ${live_release:-nothing}" 'did somebody else deploy?'
fi
if [[ $health != healthy ]]; then
  refuse "$release is live and not healthy: ${health:-nothing is live}" '`fab ENV logs` shows what it says'
fi
# The helper writes one flat object for each slot.
if [[ $says =~ \"$live\":\{[^}]*\"restarts\":([0-9]+) && ${BASH_REMATCH[1]} != 0 ]]; then
  refuse "$release is live, ended by itself, and systemd started it again" '`fab ENV logs` shows what it says'
fi
answer done: true
