#!/bin/bash
# The verb `abandon`.

# abandon: ends an instance that no client was led to. The VM ignores SIGTERM until its first process is up, some 200 ms
# after the start, and an app that hangs as it boots ignores it for good: systemd would wait TimeoutStopSec for either.
verb_abandon() {
  local unit rounds=0 state
  input_slot
  read_links
  [[ $slot != "$live" ]] || die "slot $slot is live: stop it"
  unit=$app@$slot.service
  systemctl stop --no-block -- "$unit"
  while state=$(property "$unit" ActiveState) && [[ $state != inactive && $state != failed ]]; do
    # Another command may start the unit again meanwhile.
    ((rounds < 150)) || cannot "$unit did not end within 30 s"
    # SIGTERM again each second; SIGKILL after five seconds.
    if ((rounds >= 25 && rounds % 5 == 0)); then
      systemctl kill --signal=KILL -- "$unit" || true
    elif ((rounds % 5 == 4)); then
      systemctl kill --kill-whom=main --signal=TERM -- "$unit" 2>/dev/null || true
    fi
    rounds=$((rounds + 1))
    sleep 0.2
  done
  systemctl stop -- "$unit"
}
