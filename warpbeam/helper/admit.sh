#!/bin/bash
# The verb `admit`: verifies the signature of a release, then every file, into a tree that only root can write.

# The seconds that the name of a release may be ahead of this host's clock: it may be from a clock ahead of ours.
readonly MOST_AHEAD=3600

# Input: a release. Prints a line for each step, and last `admitted` (a new copy), `known` (it was admitted before) or
# `off` (this host checks no signatures).
verb_admit() {
  local reason
  input 'a release'
  if [[ $ADMISSION != yes ]]; then
    echo off
    exit 0
  fi
  is_release "$REPLY" || die 'expected a release such as 20261123T120000Z on standard input'
  admit "$REPLY"
}

# admit RELEASE: the whole of an admission. A rename is its last step: nothing half-made has a release's name.
admit() {
  local new=$ADMITTED/.new lists=$ADMITTED/.lists digest known=''
  remove_copies "$1"
  lock_admitted admission
  clear_leftovers
  trap 'clear_leftovers || true; unlock_admitted' EXIT
  (umask 077 && mkdir -- "$lists") || cannot "$ADMITTED is on a full disk: make room there"
  say signature
  receive "$1"
  digest_of "$lists"
  digest=$REPLY
  if is_admitted "$1"; then
    digest_of "$ADMITTED/$1/.warpbeam"
    known=$REPLY
    [[ $known == "$digest" ]] || cannot "$1 was admitted with another content: \`deploy --force\` gives it a new name"
  fi
  accept "$1" "$digest" "$known"
  if [[ -z $known ]]; then
    check_place "$1"
    read_manifest
    mkdir -- "$new"
    say copy
    copy_files "$1"
    say verify
    compare_copy "$1"
    # The deploy user can make the copy last long: the signer may be revoked by now.
    accept "$1" "$digest" ''
    keep "$1"
  fi
  clear_leftovers
  unlock_admitted
  if [[ -z $known ]]; then echo admitted; else echo known; fi
}

# say WORD: prints a step. A caller that does not read is not waited for: others wait for the lock meanwhile.
say() { timeout --signal=KILL 1 echo "$1" 8>&- || true; }

# check_place RELEASE: refuses a new copy where there are too many that cannot be removed, and one whose name would keep
# it among the newest for ever: the deploy user chooses the name.
check_place() {
  local latest directory release count=0 live release_a release_b live_release
  printf -v latest '%(%s)T' -1
  TZ=UTC printf -v latest '%(%Y%m%dT%H%M%SZ)T' "$((latest + MOST_AHEAD))"
  [[ ! $1 > $latest ]] || cannot "the name of the release $1 is ahead of this host's clock: is that right?"
  read_links
  for directory in "$ADMITTED"/*Z; do
    release=${directory##*/}
    if ! is_release "$release" || [[ $release == "$release_a" || $release == "$release_b" ]]; then continue; fi
    if [[ $release == "$(readlink -- "$ADMITTED/a")" || $release == "$(readlink -- "$ADMITTED/b")" ]]; then continue; fi
    count=$((count + 1))
  done
  ((count < MOST_ADMITTED)) ||
    cannot "$count copies in $ADMITTED are in use, and no more are made: which processes of $APP_USER run there?"
}

# accept RELEASE DIGEST KNOWN: refuses a release that nobody signed who may sign now. One that runs already is no
# exception of an attacker's: a restart of it needs no signer.
accept() {
  local live release_a release_b live_release spared spared_slot
  if is_accepted "$lists" "$2"; then
    # The release may have been signed anew.
    if [[ -n $3 ]] && ! cmp -s -- "$lists/signature" "$ADMITTED/$1/.warpbeam/signature"; then
      install -m 644 -- "$lists/signature" "$ADMITTED/$1/.signature"
      mv -fT -- "$ADMITTED/$1/.signature" "$ADMITTED/$1/.warpbeam/signature"
    fi
    return 0
  fi
  if [[ -n $3 ]]; then
    find_spared
    if [[ $spared == "$1" ]]; then
      printf 'warpbeam-helper: %s runs, and would not be admitted anew: %s\n' "$1" "$reason" >&2
      return 0
    fi
  fi
  logger -p auth.warning -t "warpbeam-$app" -- "the release $1 was not admitted: $reason" || true
  cannot "the release $1 is not admitted: $reason"
}

# keep RELEASE: gives the copy its name, when all of it is on the disk.
keep() {
  install -d -m 750 -g "$APP_USER" -- "$new/.warpbeam"
  install -m 640 -g "$APP_USER" -t "$new/.warpbeam" -- "$lists"/{manifest,links,runtime}
  # ssh-keygen reads the signature as nobody, by its descriptor.
  install -m 644 -t "$new/.warpbeam" -- "$lists/signature"
  sync -f -- "$new" || cannot "$ADMITTED is on a full disk: make room there"
  mv -T -- "$new" "$ADMITTED/$1"
  sync -f -- "$ADMITTED"
}

# lock_admitted WHAT: takes a lock of $ADMITTED: `admission` (one copy is made at a time, which may take minutes) or
# `copies` (one process removes copies at a time). Nothing waits for either with the lock of lock.sh. Keeps errors back
# until the lock is free: a caller that does not read them would hold it.
lock_admitted() {
  local file=/run/warpbeam-$app.$1
  exec 8>>"$file"
  flock -w 60 8 || cannot "another command has held $ADMITTED ($1) for 60 s: run the same command again"
  said_file=$file.said
  exec 4>&2 2>"$said_file"
  errors=4
  trap unlock_admitted EXIT
}

unlock_admitted() {
  local said=''
  trap - EXIT
  errors=2
  exec 2>&4 4>&-
  IFS= read -r -d '' said <"$said_file" || true
  exec 8>&-
  printf '%s' "$said" >&2 || true
}

# remove_copies [RELEASE]: see `discard`; under a lock, in a shell of its own. False where it did not come to its end.
remove_copies() {
  local status
  apart discard_alone "$@"
  return "$status"
}
discard_alone() {
  lock_admitted copies
  discard "$@"
}

# apart COMMAND ...: runs a command in a shell of its own, which ends at its first error, and puts its status in
# `status`. (Not by `||`: bash would ignore `set -e` in there, and go on after a step that failed.)
apart() {
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
}

# clear_leftovers: removes what an admission that was interrupted has left, and ends the program that unpacked it.
clear_leftovers() {
  cd /
  if systemctl is-active --quiet -- "$app-admit.service"; then systemctl stop -- "$app-admit.service" || true; fi
  rm -rf -- "$ADMITTED"/.new "$ADMITTED"/.lists "$ADMITTED"/.*.gone
}
