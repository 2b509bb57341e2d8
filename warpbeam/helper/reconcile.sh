#!/bin/bash
# The verb `reconcile`: makes the tables and the running slots agree with `current`.

# rules_state: prints the state of the system's own rules, and when it last changed. Empty lines where it has none.
rules_state() { systemctl show --property=ActiveState,StateChangeTimestampMonotonic --value -- nftables.service; }

# systemd loses a reload that nftables.service passes on while this unit still starts (unit.c, unit_reload): the reload
# has flushed the tables, and no second reconcile comes. So this looks whether the rules were loaded meanwhile.
verb_reconcile() {
  local before after round
  if [[ ${SERVICE_RESULT-} == success ]]; then
    settled
    return 0
  fi
  lock
  for round in {1..20}; do
    before=$(rules_state)
    reconcile
    after=$(rules_state)
    if [[ $before == "$after" && $after != reloading* ]]; then
      settled
      return 0
    fi
    sleep 0.2
  done
}

# settled: looks at the admitted copies once it is settled what runs: the release that an activation has replaced may be
# a revoked signer's. Where admission is off, removes the whole tree, if no process runs from there.
settled() {
  local -A used=()
  [[ -d $ADMITTED ]] || return 0
  if [[ $ADMISSION == no ]]; then
    find_entered
    ((${#used[@]})) || rm -rf -- "$ADMITTED"
  elif [[ ! -e /run/$app-activate || ${SERVICE_RESULT-} == success ]]; then
    (
      lock_admission
      discard
    ) || true
  fi
}

# admit_live: follows the wish of the live slot's link. Where root has no link for that slot (admission was just
# switched on), admits what the slot names; else a boot would wait for a copy that the deploy user can hold up.
admit_live() {
  local reason
  read_links
  [[ -n $live ]] || return 0
  approved "$live"
  if [[ -n $REPLY && $REPLY == "$live_release" ]]; then return 0; fi
  if [[ -z $REPLY && -n $live_release ]] && ! is_admitted "$live_release"; then
    # Not by `||`: bash would ignore `set -e` in there, and go on after a step that failed.
    set +e
    (
      set -e
      admit "$live_release"
    ) >/dev/null
    set -e
  fi
  approve "$live" "$live_release" || printf 'warpbeam-helper: %s\n' "$reason" >&2
}

reconcile() {
  local busy=no states state
  filter || printf 'warpbeam-helper: the filter could not be loaded\n' >&2
  guard_nodes
  guard_ports || printf 'warpbeam-helper: the guard of the ports could not be loaded\n' >&2
  mapfile -t states < <(systemctl is-active -- "$app-activate.service" "$app@a.service" "$app@b.service")
  if [[ ${states[0]-} == activating ]]; then busy=yes; fi
  # While an activation runs, `current` and the slots belong to it; it reconciles when it ends.
  if [[ $busy == yes ]]; then
    read_links
  else
    [[ $ADMISSION == no ]] || admit_live
    mend_current || printf 'warpbeam-helper: current could not be mended\n' >&2
  fi
  if [[ -n $live ]] || in_maintenance; then redirect "$live"; fi
  make_room
  if [[ -z $live || $busy == yes ]]; then return 0; fi
  # A killed activation may have left the live instance draining.
  if [[ -e /run/$app-$live/drain ]]; then as_app rm -f -- "/run/$app-$live/drain" || true; fi
  for slot in a b; do
    state=${states[1]-}
    if [[ $slot == b ]]; then state=${states[2]-}; fi
    if [[ $slot == "$live" && $state != active ]]; then systemctl start --no-block -- "$app@$slot.service"; fi
    if [[ $slot != "$live" && $state != inactive ]]; then systemctl stop --no-block -- "$app@$slot.service"; fi
  done
}
