#!/bin/bash
# The verb `reconcile`: makes the tables and the running slots agree with `current`.

# rules_state: prints the state of the system's own rules, and when it last changed. Empty lines where it has none.
rules_state() { systemctl show --property=ActiveState,StateChangeTimestampMonotonic --value -- nftables.service; }

verb_reconcile() {
  local tried=no status
  if [[ ${SERVICE_RESULT-} != success ]]; then
    agree
    if lacks_copy; then
      # The tables are there by now: others need not wait for what the deploy user can hold up.
      apart admit_live
      tried=yes
      agree
    fi
  fi
  settled
}

# agree: reconciles, under the lock. systemd loses a reload that nftables.service passes on while this unit still starts
# (unit.c, unit_reload): the reload has flushed the tables, and no second reconcile comes. So this looks whether the
# rules were loaded meanwhile.
agree() {
  local before after round
  lock
  for round in {1..20}; do
    before=$(rules_state)
    reconcile
    after=$(rules_state)
    if [[ $before == "$after" && $after != reloading* ]]; then break; fi
    sleep 0.2
  done
  unlock
}

# settled: looks at the admitted copies once it is settled what runs: the release that an activation has replaced may be
# a revoked signer's. Where admission is off, removes the whole tree, if no process runs from there.
settled() {
  local -A used=()
  local status
  [[ -d $ADMITTED ]] || return 0
  if [[ $ADMISSION == no ]]; then
    find_entered
    ((${#used[@]})) || rm -rf -- "$ADMITTED"
  else
    apart discard_alone
    # Not an error at a boot: the app runs. `setup` looks at the copies itself.
    ((status == 0)) || printf 'warpbeam-helper: the admitted copies could not be looked at\n' >&2
  fi
}

# lacks_copy: whether root has no copy of what is live (admission was just switched on) and none was tried.
lacks_copy() {
  [[ $ADMISSION == yes && $tried == no && ! -e /run/$app-activate ]] || return 1
  read_links
  [[ -n $live_release ]] || return 1
  approved "$live"
  [[ -z $REPLY ]] && ! is_admitted "$live_release"
}

# admit_live: admits what the live slot names, in a shorter time: a boot waits for it.
admit_live() {
  COPY_SECONDS=60
  admit "$live_release" >/dev/null
}

# approve_live: follows the wish of the live slot's link or, where that is refused, keeps to root's own link. False
# where the slot may start neither.
approve_live() {
  local reason
  if [[ -z $live ]] || approve "$live" "$live_release"; then return 0; fi
  printf 'warpbeam-helper: %s\n' "$reason" >&2
  approved "$live"
  [[ -n $REPLY ]] && approve "$live" "$REPLY"
}

reconcile() {
  local busy=no may_start=yes states state
  filter || printf 'warpbeam-helper: the filter could not be loaded\n' >&2
  guard_nodes
  guard_ports || printf 'warpbeam-helper: the guard of the ports could not be loaded\n' >&2
  mapfile -t states < <(systemctl is-active -- "$app-activate.service" "$app@a.service" "$app@b.service")
  if [[ ${states[0]-} == activating ]]; then busy=yes; fi
  # While an activation runs, `current` and the slots belong to it; it reconciles when it ends.
  if [[ $busy == yes ]]; then
    read_links
  elif lacks_copy; then
    may_start=no
  else
    mend_current || printf 'warpbeam-helper: current could not be mended\n' >&2
    if [[ $ADMISSION == yes ]] && ! approve_live; then may_start=no; fi
  fi
  if [[ -n $live ]] || in_maintenance; then redirect "$live"; fi
  make_room
  if [[ -z $live || $busy == yes || $may_start == no ]]; then return 0; fi
  # A killed activation may have left the live instance draining.
  if [[ -e /run/$app-$live/drain ]]; then as_app rm -f -- "/run/$app-$live/drain" || true; fi
  for slot in a b; do
    state=${states[1]-}
    if [[ $slot == b ]]; then state=${states[2]-}; fi
    if [[ $slot == "$live" && $state != active ]]; then systemctl start --no-block -- "$app@$slot.service"; fi
    if [[ $slot != "$live" && $state != inactive ]]; then systemctl stop --no-block -- "$app@$slot.service"; fi
  done
}
