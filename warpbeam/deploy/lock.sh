#!/bin/bash
# The deploy lock of an app on this host: a lease, in seconds of this host's own uptime, so that no clock matters and a
# reboot ends it.
#
# $root/lock holds five lines: token, boot id, uptime at which it ends, who holds it as JSON, and the same in words. A freeze, which a person
# asked for, has the word in place of a boot id, and no end.
: "${root?}" "${token?}"

lock=$root/lock

# clear_guard: a pipe in its place would be waited for at its opening, by no command that could be bounded.
clear_guard() {
  if [[ -e $lock.guard || -L $lock.guard ]] && ! plain "$lock.guard"; then rm -rf -- "$lock.guard"; fi
}

# Everything that reads and then writes the lock does so under this.
guard() {
  clear_guard
  exec 7>"$lock.guard"
  flock -w 30 7 || refuse "$lock.guard is held by a process that has not ended within 30 s" 'look for it with `fuser`'
}
unguard() { exec 7>&-; }

# boot_id: this boot's, in REPLY.
boot_id() { read -r REPLY </proc/sys/kernel/random/boot_id; }

FROZEN=frozen

# held: true when someone holds the lock in force; sets held_token, held_boot, held_ends, held_text and held_words.
held() {
  held_token='' held_boot='' held_ends=0 held_text='' held_words=''
  text_of "$lock" 131072 || return 1
  { read -r held_token && read -r held_boot && read -r held_ends && read -r held_text && read -r held_words; } <<<"$REPLY" || return 1
  is_count "$held_ends" || return 1
  [[ $held_boot != "$FROZEN" ]] || return 0
  boot_id
  [[ $held_boot == "$REPLY" ]] || return 1
  uptime_seconds
  [[ $held_ends -gt $REPLY ]]
}

# write_lock BOOT ENDS TEXT WORDS
write_lock() {
  printf '%s\n' "$token" "$1" "$2" "$3" "$4" >"$lock.$token" || {
    rm -f -- "$lock.$token"
    return 1
  }
  mv -fT -- "$lock.$token" "$lock"
}

write_freeze() { write_lock "$FROZEN" 0 "$1" "$2"; }

# write_lease SECONDS TEXT WORDS
write_lease() {
  local boot
  boot_id
  boot=$REPLY
  uptime_seconds
  write_lock "$boot" "$((REPLY + $1))" "$2" "$3"
}

# still_ours SECONDS: refuses unless the lock is ours; makes it last SECONDS from now, where more than a fifth of that is over.
still_ours() {
  # It is renamed into its place, so one look sees one lock, whoever writes meanwhile.
  if held && [[ $held_token == "$token" ]]; then
    uptime_seconds
    if ((held_ends - REPLY >= $1 * 4 / 5)); then return 0; fi
  fi
  guard
  if ! held && [[ $held_token != "$token" ]]; then
    refuse 'the deploy lock is no longer ours: it ran out' 'run the same command again'
  fi
  if [[ $held_token != "$token" ]]; then
    refuse "the deploy lock is no longer ours; it is held by $held_words" 'run the same command again'
  fi
  # On a disk that is full by now the lock is no less ours; whoever waits for it to run out has the same trouble.
  write_lease "$1" "$held_text" "$held_words" 2>/dev/null || true
  unguard
}

let_go() {
  guard
  held || true
  if [[ $held_token == "$token" ]]; then rm -f -- "$lock"; fi
  unguard
}
