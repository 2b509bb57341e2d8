#!/bin/bash
# Reads the state of the host that several verbs ask for.

property() { systemctl show --property="$2" --value -- "$1"; }

# Maintenance is on while this file exists. The file survives deploys and reboots.
in_maintenance() { [[ -e $ETC/maintenance ]]; }

told_maintenance() { if in_maintenance; then echo 'maintenance on'; else echo 'maintenance off'; fi; }

# memory_of PID: puts its resident memory in REPLY, in bytes; 0 where that is unknown.
memory_of() {
  local key value
  REPLY=0
  while read -r key value _; do
    if [[ $key == VmRSS: && $value == [0-9]* && $value != *[!0-9]* ]]; then REPLY=$((value * 1024)); fi
  done 2>/dev/null <"/proc/$1/status" || true
}
