#!/bin/bash
# The steps of a job that start and stop instances, and their undo. `idle` is the slot of the new instance, `live` that
# of the old one (empty: nothing was live before) and `left` the release of the old one.
#
# Parameters: app, root, helper, release (to make live).
: "${app?}" "${root?}" "${helper?}" "${release?}"

# take_slot: empties the idle slot and links it to the release. Undo: leave_slot.
take_slot() {
  # An instance that is left in the idle slot (started by hand, or still ending) would answer in the new one's place.
  # systemd keeps this directory as long as the instance is there (RuntimeDirectory=, systemd.exec(5)).
  if [[ -e /run/$app-$idle ]]; then
    call_helper stop "$idle" || give_up "what was left in slot $idle could not be stopped"
  fi
  step link
  with_spare_space point "$root/slots/$idle" "../releases/$release"
  if asked_to_stop; then give_up "$stopped"; fi
}

# leave_slot: ends what runs in the idle slot and unlinks it. Unless the job was asked to stop, the release is marked as
# failed, and its last lines are kept for the message.
leave_slot() {
  call_helper abandon "$idle" || call_helper stop "$idle" || true
  if [[ $why != "$stopped" ]]; then
    # A restart that failed says nothing against the release that was live, and serves again.
    [[ $release == "$left" ]] || mark "$release" failed || true
    read_app_logs "$idle" "$began_at"
  fi
  rm -f -- "$root/slots/$idle" || true
}

# stop_old: stops the old instance. Undo: restore_old.
stop_old() {
  step stop-old
  call_helper stop "$live"
}

# start_new: starts the release in the idle slot. Undo: leave_slot.
start_new() {
  step start
  call_helper start "$idle" || give_up 'its unit could not be started'
}

# await_new: waits until the new instance is healthy, and stays so.
await_new() {
  step health
  await "$idle" || give_up "$reason"
  if [[ -n $narrow ]]; then warn "$narrow"; fi
}

# restore_old: has the old instance run and take clients, and reconciles; `serving` says what serves now.
restore_old() {
  if [[ -z $live ]]; then return 0; fi
  call_helper undrain "$live" || true
  call_helper start "$live" || true
  if await "$live" undoing; then
    serving="the old release $left is serving $again, healthy"
  else
    serving="the old release $left was started again but is NOT healthy: $reason"
  fi
  call_helper reconcile || true
}
