#!/bin/bash
# The record of what an instance runs: /run/warpbeam-$app/slot-SLOT has a line `PID BIRTH RELEASE`, which only root can
# read and write. PID is the main process, BIRTH its start time (instance.sh of the phases): no other process has both.
# `start` writes it. An instance that systemd started by itself (at boot, or again after a crash) has none.

# record_instance SLOT: records the instance that was just started in SLOT. Call read_links before the start.
record_instance() {
  local directory=/run/warpbeam-$app file=/run/warpbeam-$app/slot-$1
  remember_instance "$1"
  [[ $pid =~ ^[1-9][0-9]*$ && -n $birth ]] || return 0
  started_in "$pid"
  [[ -n $REPLY ]] || linked_release "$1"
  [[ -n $REPLY ]] || return 0
  [[ -d $directory ]] || mkdir -- "$directory" || return 1
  printf '%s %s %s\n' "$pid" "$birth" "$REPLY" >"$file.new" && mv -fT -- "$file.new" "$file"
}

# release_of SLOT PID: puts the release that PID, the main process of SLOT, was started in, in REPLY; empty where that
# is unknown. The record says it even where the process has left its release, or runs a VM of the host's own. /proc is
# the cross-check: where it says another release, its word counts.
release_of() {
  local recorded='' number birth release
  if { read -r number birth release <"/run/warpbeam-$app/slot-$1"; } 2>/dev/null && [[ $number == "$2" ]]; then
    birth_of "$2"
    if [[ -n $REPLY && $REPLY == "$birth" ]] && is_release "$release"; then recorded=$release; fi
  fi
  started_in "$2"
  if [[ -z $REPLY ]]; then
    REPLY=$recorded
  elif [[ -n $recorded && $REPLY != "$recorded" ]]; then
    printf 'warpbeam-helper: slot %s was started in %s, but its main process %s is in %s now\n' \
      "$1" "$recorded" "$2" "$REPLY" >&2
  fi
}
