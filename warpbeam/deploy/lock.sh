#!/bin/bash
# The deploy lock of an app on this host: a lease, in seconds of this host's own uptime, so that no clock matters and a
# reboot ends it.
#
# $root/lock holds five lines: token, boot id, uptime at which the lease ends, holder as JSON, and the same in words. A
# freeze, which a person asked for, has `frozen` in place of the boot id, and no end.
#
# Parameters: root (the app's directory), token (of this command).
: "${root?}" "${token?}"

lock=$root/lock
# The file lock lies where the app's user cannot enter: flock(2) needs no more than the right to read.
guard_file=$root/activation/lock.guard

# clear_guard: removes what is no plain file from the guard's place: opening a pipe there would wait, and no command
# could bound that.
clear_guard() {
  if [[ -e $guard_file || -L $guard_file ]] && ! plain "$guard_file"; then rm -rf -- "$guard_file"; fi
}

# guard: takes the file lock under which everything reads and then writes the deploy lock.
guard() {
  clear_guard
  exec 7>"$guard_file"
  flock -w 30 7 || refuse "$guard_file is held by a process that has not ended within 30 s" 'look for it with `fuser`'
}
unguard() { exec 7>&-; }

# boot_id: the id of this boot, in REPLY.
boot_id() { read -r REPLY </proc/sys/kernel/random/boot_id; }

FROZEN=frozen

# held: true while somebody holds the lock; sets held_token, held_boot, held_ends, held_text and held_words.
held() {
  held_token='' held_boot='' held_ends=0 held_text='' held_words=''
  text_of "$lock" 131072 || return 1
  { read -r held_token && read -r held_boot && read -r held_ends && read -r held_text &&
    read -r held_words; } <<<"$REPLY" || return 1
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

# still_ours SECONDS: refuses unless the lock is ours; renews it for SECONDS from now once more than a fifth is over.
still_ours() {
  # No guard: the lock is renamed into its place, so one look sees one whole lock, even during a write.
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
  # A full disk prevents the renewal, but the lock stays ours: another command could not write its own there either.
  write_lease "$1" "$held_text" "$held_words" 2>/dev/null || true
  unguard
}

let_go() {
  guard
  held || true
  if [[ $held_token == "$token" ]]; then rm -f -- "$lock"; fi
  unguard
}
