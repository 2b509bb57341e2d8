#!/bin/bash
# The verb `status`: what runs, as the kernel and systemd report it.

# Prints JSON of `HelperAnswer` in warpbeam/host/facts.py.
verb_status() {
  local key value number=0 slots=(a b job) activating=false maintenance=false now slot_a redirect=''
  local -A is=()
  # One question for all units (a value a line, an empty line between units), because every deploy asks.
  while IFS='=' read -r key value; do
    if [[ -z $key ]]; then number=$((number + 1)); else is[${slots[number]} $key]=$value; fi
  done < <(systemctl show --timestamp=unix --property=ActiveState,SubState,MainPID,NRestarts,ExecMainStartTimestamp \
    --property=ExecMainStartTimestampMonotonic,ActiveExitTimestampMonotonic \
    -- "$app@a.service" "$app@b.service" "$app-activate.service")
  # The time now, in microseconds of the clock that systemd calls monotonic.
  read -r now _ </proc/uptime
  now=${now/./}0000
  if [[ ${is[job ActiveState]} == activating ]]; then activating=true; fi
  if in_maintenance; then maintenance=true; fi
  while read -r key; do
    if [[ $key =~ redirect\ to\ :([0-9]+) && ",$redirect," != *",${BASH_REMATCH[1]},"* ]]; then
      redirect+="${redirect:+,}${BASH_REMATCH[1]}"
    fi
  done < <(nft list table inet "warpbeam_$app" 2>/dev/null)
  instance a
  slot_a=$REPLY
  instance b
  object a: "$slot_a" b: "$REPLY"
  object version "$VERSION" activating: "$activating" maintenance: "$maintenance" redirect: "[$redirect]" \
    slots: "$REPLY"
  printf '%s\n' "$REPLY"
}

# instance SLOT: JSON of `Instance` in warpbeam/host/facts.py, in REPLY, from the properties in `is`. The app's process
# chooses its version, its directory and its program: each is checked.
instance() {
  local slot=$1 pid=${is[$1 MainPID]} release='' version='' memory=0 started=0 age='' ended_ago=''
  if ((pid > 0)); then
    release_of "$slot" "$pid"
    release=$REPLY
    {
      IFS= read -r -d '' -t 3 version < <(environment_of "$VERSION_VARIABLE" <"/proc/$pid/environ")
    } 2>/dev/null || true
    version=${version#*=}
    version=${version//[^A-Za-z0-9.+_-]/}
    memory_of "$pid"
    memory=$REPLY
    if [[ ${is[$slot ExecMainStartTimestamp]} =~ ^@([1-9][0-9]{0,11})$ ]]; then started=${BASH_REMATCH[1]}; fi
    # Durations are of the monotonic clock: the wall clock may be set meanwhile.
    age=$(((now - ${is[$slot ExecMainStartTimestampMonotonic]}) / 1000000))
  fi
  if ((${is[$slot ActiveExitTimestampMonotonic]} > 0)); then
    ended_ago=$(((now - ${is[$slot ActiveExitTimestampMonotonic]}) / 1000000))
  fi
  object state "${is[$slot ActiveState]}" substate "${is[$slot SubState]}" pid: "$pid" \
    restarts: "${is[$slot NRestarts]}" started: "$started" age: "$age" ended_ago: "$ended_ago" memory: "$memory" \
    release "$release" version "${version:0:100}"
}
