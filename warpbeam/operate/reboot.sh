#!/bin/bash
# Reboots a host in good order, as root: a load balancer that asks for health has $balancer_drain seconds to notice,
# then clients of the app have $drain seconds to leave. If the reboot is given up, the app runs as before.
#
# Parameters: root, app, helper (empty on a host that does not run the app), ports (of connections.sh), drain and
# balancer_drain (seconds).
: "${root?}" "${app?}" "${helper?}" "${ports[@]-}" "${drain?}" "${balancer_drain?}"

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
# Reboot a second later, so that this answer arrives.
systemd-run --quiet --collect --on-active=1s systemctl reboot ||
  fail 'systemd does not take the reboot' 'see journalctl on the host'
trap - EXIT
answer boot "$boot" left: "$left"
