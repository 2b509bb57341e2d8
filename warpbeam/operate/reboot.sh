#!/bin/bash
# Reboots a host in good order, as root: whoever is connected to the app is asked to end, and has $drain seconds for it; a
# load balancer that asks for health has $balancer_drain seconds to notice. Where it is given up, the app is as before.
#
# Parameters: root, app, helper (empty on a host that does not run the app), ports (of connections.sh), drain, balancer_drain.
: "${root?}" "${app?}" "${helper?}" "${ports?}" "${drain?}" "${balancer_drain?}"

((EUID == 0)) || refuse 'a reboot needs root here' 'give the admin sudo, or see users.admin in the inventory'
live='' left=0
if [[ -n $helper ]]; then read_links; fi
if [[ -n $live && $(systemctl is-active -- "$app@$live.service") == active ]]; then
  trap '"$helper" undrain <<<"$live"; "$helper" start <<<"$live"' EXIT
  step drain
  "$helper" drain <<<"$live"
  sleep "$balancer_drain"
  drained "$live" "$drain"
  left=$REPLY
  step stop
  "$helper" stop <<<"$live"
fi
step reboot
boot=$(</proc/sys/kernel/random/boot_id)
# A moment later, so that this answer arrives.
systemd-run --quiet --collect --on-active=1s systemctl reboot || fail 'systemd does not take the reboot' 'see journalctl on the host'
trap - EXIT
answer boot "$boot" left: "$left"
