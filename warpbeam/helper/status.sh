#!/bin/bash
# The verb `status`: what runs, as the kernel and systemd report it.

verb_status() {
  local slot pid release vsn rss key value now began ended slots=(a b job) number=0
  local -A is=()
  # One question for all units (a value a line, an empty line between units), because every deploy asks.
  while IFS='=' read -r key value; do
    if [[ -z $key ]]; then number=$((number + 1)); else is[${slots[number]} $key]=$value; fi
  done < <(systemctl show --property=ActiveState,SubState,MainPID,NRestarts,ExecMainStartTimestamp \
    --property=ExecMainStartTimestampMonotonic,ActiveExitTimestampMonotonic \
    -- "$app@a.service" "$app@b.service" "$app-activate.service")
  printf 'helper %s\n' "$VERSION"
  # The time now, in microseconds of the clock that systemd calls monotonic.
  read -r now _ </proc/uptime
  now=${now/./}0000
  value=no
  if [[ ${is[job ActiveState]} == activating ]]; then value=yes; fi
  printf 'activating %s\n' "$value"
  for slot in a b; do
    pid=${is[$slot MainPID]}
    release='' vsn='' rss=''
    if ((pid > 0)); then
      started_in "$pid"
      release=$REPLY
      { IFS= read -r -d '' -t 3 vsn < <(environment_of VSN <"/proc/$pid/environ"); } 2>/dev/null || true
      vsn=${vsn#*=}
      memory_of "$pid"
      rss=$REPLY
    fi
    # Seconds since the instance started, and since an instance ended in this slot; empty where there is none.
    began='' ended=''
    if ((pid > 0)); then began=$(((now - ${is[$slot ExecMainStartTimestampMonotonic]}) / 1000000)); fi
    if ((${is[$slot ActiveExitTimestampMonotonic]} > 0)); then
      ended=$(((now - ${is[$slot ActiveExitTimestampMonotonic]}) / 1000000))
    fi
    printf \
      'slot %s state=%s substate=%s pid=%s restarts=%s started=%s age=%s ended=%s rss_kib=%s release=%s version=%s\n' \
      "$slot" "${is[$slot ActiveState]}" "${is[$slot SubState]}" "$pid" "${is[$slot NRestarts]}" \
      "${is[$slot ExecMainStartTimestamp]// /_}" "$began" "$ended" "${rss:-0}" "$release" "${vsn//[^A-Za-z0-9.+_-]/}"
  done
  value=''
  while read -r key; do
    if [[ $key =~ redirect\ to\ :([0-9]+) && " $value" != *" ${BASH_REMATCH[1]} "* ]]; then
      value+="${BASH_REMATCH[1]} "
    fi
  done < <(nft list table inet "warpbeam_$app" 2>/dev/null)
  printf 'redirect %s\n' "$value"
  told_maintenance
}
