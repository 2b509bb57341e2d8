#!/bin/bash
# The lock of the verbs that change the redirect or the slots.

# One at a time: an activation, a boot and a reload of the firewall may meet here. A verb takes the lock after it has
# read its input: a caller that types slowly must not hold it.
readonly LOCK=/run/warpbeam-$app.lock
lock() {
  exec 9>>"$LOCK"
  flock -w 30 9 || cannot 'another reconcile has not ended within 30 s'
  # The content is from the last owner of the lock: see `switch`.
  : >"$LOCK"
  # Keep errors back until the lock is free: a caller that does not read them would hold the lock.
  exec 4>&2 2>"$LOCK.said"
  errors=4
  trap unlock EXIT
}

unlock() {
  local said=''
  trap - EXIT
  errors=2
  exec 2>&4 4>&-
  IFS= read -r -d '' said <"$LOCK.said" || true
  exec 9>&-
  printf '%s' "$said" >&2 || true
}

# last_switch: puts what the last switch wrote, `SLOT PID`, in REPLY; empty after a boot, or after another lock.
last_switch() {
  REPLY=''
  { read -r REPLY <"$LOCK"; } 2>/dev/null || true
}
