#!/bin/bash
# The deploy lock of an app on this host: a lease, in seconds of this host's own uptime, so that no clock matters and a
# reboot ends it.
#
# $root/lock holds four lines: token, boot id, uptime at which it ends, and a JSON text for people.
: "${root?}" "${token?}"

lock=$root/lock

uptime_seconds() { read -r REPLY _ </proc/uptime; REPLY=${REPLY%.*}; }

# Everything that reads and then writes the lock does so under this.
guard() {
  exec 7>"$lock.guard"
  flock -w 30 7 || refuse "$lock.guard is held by a process that has not ended within 30 s" 'look for it with `fuser`'
}

# held: true when someone holds the lock in force; sets held_token and held_text.
held() {
  local boot ends
  held_token='' held_text=''
  [[ -r $lock ]] || return 1
  { read -r held_token && read -r boot && read -r ends && read -r held_text; } <"$lock" || return 1
  uptime_seconds
  [[ $boot == "$(</proc/sys/kernel/random/boot_id)" && $ends -gt $REPLY ]]
}

# write_lease SECONDS TEXT
write_lease() {
  uptime_seconds
  printf '%s\n' "$token" "$(</proc/sys/kernel/random/boot_id)" "$((REPLY + $1))" "$2" >"$lock.$token"
  mv -fT -- "$lock.$token" "$lock"
}

# still_ours SECONDS: refuses unless the lock is ours; makes it last SECONDS from now.
still_ours() {
  guard
  if ! held && [[ $held_token != "$token" ]]; then
    refuse 'the deploy lock is no longer ours: it ran out' 'run the same command again'
  fi
  if [[ $held_token != "$token" ]]; then
    refuse "the deploy lock is no longer ours; it is held by: $held_text" 'run the same command again'
  fi
  write_lease "$1" "$held_text"
  flock -u 7
}

let_go() {
  guard
  held || true
  if [[ $held_token == "$token" ]]; then rm -f -- "$lock"; fi
  flock -u 7
}
