#!/bin/bash
# The admitted releases: complete copies in $ADMITTED, which only root can write. Only these start, where admission is
# on ($ADMISSION is yes).
#
# $ADMITTED/a and $ADMITTED/b are root's own links: from them the slots start. The deploy user's links in $root/slots
# are wishes, which `approve` follows or refuses. So a boot and a start after a crash need no signature: what a slot
# starts was accepted when root's link was made.

# is_admitted RELEASE: whether there is an admitted copy.
is_admitted() { [[ -n $1 && -d $ADMITTED/$1/.warpbeam && ! -L $ADMITTED/$1 ]]; }

# approved SLOT: puts the release that the slot starts, by root's link, in REPLY; empty where there is none.
approved() {
  REPLY=$(readlink -- "$ADMITTED/$1") || REPLY=''
  if ! is_release "$REPLY" || ! is_admitted "$REPLY"; then REPLY=''; fi
}

# approve SLOT RELEASE: has the slot start RELEASE from now on. What one of the slots starts already needs no further
# signature (an undo, a restart); for everything else the signature must count now. Else false, and `reason` says why.
approve() {
  local slot=$1 release=$2 other
  reason="slot $slot leads to no release"
  is_release "$release" || return 1
  reason="$release is not admitted: \`fab $ENVIRONMENT deploy\` admits what it deploys"
  is_admitted "$release" || return 1
  approved "$slot"
  if [[ $REPLY == "$release" ]]; then return 0; fi
  if [[ $slot == a ]]; then other=b; else other=a; fi
  approved "$other"
  if [[ $REPLY != "$release" ]]; then
    digest_of "$ADMITTED/$release/.warpbeam"
    is_accepted "$ADMITTED/$release/.warpbeam" "$REPLY" || {
      reason="$release is not accepted any more: $reason"
      return 1
    }
  fi
  ln -sfn -- "$release" "$ADMITTED/.$slot" && mv -fT -- "$ADMITTED/.$slot" "$ADMITTED/$slot" && sync -- "$ADMITTED"
}

# find_entered: puts the admitted releases in which a process is, or whose program it runs, into `used`, an associative
# array of the caller's.
find_entered() {
  local target
  while IFS= read -r target; do
    target=${target#"$ADMITTED/"}
    target=${target%%[/ ]*}
    if is_release "$target"; then used[$target]=1; fi
  done < <(find /proc/[0-9]*/cwd /proc/[0-9]*/exe -maxdepth 0 -lname "$ADMITTED/*" -printf '%l\n' 2>/dev/null)
}

# find_used: does the same with all releases from which a process runs; and where no slot runs, that of the live slot.
find_used() {
  local slot pid runs=no
  used=()
  find_entered
  for slot in a b; do
    pid=$(property "$app@$slot.service" MainPID)
    if ((pid > 0)); then
      runs=yes
      release_of "$slot" "$pid"
      if [[ -n $REPLY ]]; then used[$REPLY]=1; fi
    fi
  done
  if [[ $runs == no ]]; then
    read_links
    if [[ -n $live ]]; then approved "$live"; fi
    if [[ -n $live && -n $REPLY ]]; then used[$REPLY]=1; fi
  fi
}

# discard [RELEASE]: removes the admitted copies (but RELEASE) that no process runs from and whose signature does not
# count now, so that nobody can start them; then those whose release is gone from $root/releases and that no slot
# starts, and the oldest ones beyond $MOST_ADMITTED. Every copy can be admitted again.
discard() {
  local -A used=()
  local directory release why copies=() slot_a slot_b status
  find_used
  approved a
  slot_a=$REPLY
  approved b
  slot_b=$REPLY
  for directory in "$ADMITTED"/*Z; do
    release=${directory##*/} why=''
    if ! is_release "$release" || [[ $release == "${1-}" || -n ${used[$release]-} ]]; then continue; fi
    digest_of "$directory/.warpbeam"
    if ! is_accepted "$directory/.warpbeam" "$REPLY"; then
      why="$reason"
    elif [[ $release != "$slot_a" && $release != "$slot_b" ]]; then
      status=0
      as_deploy test -d "$releases/$release" || status=$?
      if ((status == 1)); then why='its release is gone'; else copies+=("$release"); fi
    fi
    [[ -z $why ]] || drop "$release" "$why"
  done
  while ((${#copies[@]} > MOST_ADMITTED)); do
    drop "${copies[0]}" "there are more than $MOST_ADMITTED"
    copies=("${copies[@]:1}")
  done
}

# drop RELEASE REASON: removes an admitted copy; after a crash in between, the next admission removes what is left.
drop() {
  printf 'warpbeam-helper: the admitted copy of %s is removed: %s\n' "$1" "$2" >&2
  mv -T -- "$ADMITTED/$1" "$ADMITTED/.$1.gone" && rm -rf -- "$ADMITTED/.$1.gone"
}
