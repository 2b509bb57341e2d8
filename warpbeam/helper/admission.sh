#!/bin/bash
# The admitted releases: complete copies in $ADMITTED, which only root can write. Only these start, where admission is
# on ($ADMISSION is yes).
#
# $ADMITTED/a and $ADMITTED/b are root's own links: from them the slots start. The deploy user's links in $root/slots
# are wishes, which `approve` follows or refuses. So a boot and a start after a crash need no signature: what a slot
# starts was accepted when root's link was made, and `discard` removes what does not count any more.

# is_admitted RELEASE: whether there is an admitted copy.
is_admitted() { [[ -n $1 && -d $ADMITTED/$1/.warpbeam && ! -L $ADMITTED/$1 ]]; }

# approved SLOT: puts the release that the slot starts, by root's link, in REPLY; empty where there is none.
approved() {
  REPLY=$(readlink -- "$ADMITTED/$1") || REPLY=''
  if ! is_release "$REPLY" || ! is_admitted "$REPLY"; then REPLY=''; fi
}

# counts RELEASE: whether the signature of an admitted copy counts now. 1: it does not; 2: that could not be found out.
# Then `reason` says why.
counts() {
  local sums
  reason='its sums could not be read'
  sums=$(cd -- "$ADMITTED/$1/.warpbeam" && exec sha256sum -- manifest links runtime) || return 2
  # The same as `digest_of`, but a program that could not run gives no digest.
  sums=$(exec sha256sum <<<"$sums") || return 2
  is_accepted "$ADMITTED/$1/.warpbeam" "${sums%% *}"
}

# running_in SLOT: puts the release that runs in the slot in REPLY; empty where the slot does not run.
running_in() {
  local pid birth
  remember_instance "$1"
  REPLY=''
  [[ $pid =~ ^[1-9][0-9]*$ ]] || return 0
  release_of "$1" "$pid"
  [[ -n $REPLY ]] || approved "$1"
}

# find_spared: finds the one release that needs no signature any more: what runs in the live slot; where that does not
# run, what runs in the other one; where neither runs (a boot, a crash), what root's link of the live slot names. Sets
# `spared`, its slot `spared_slot`, and the links (read_links).
find_spared() {
  read_links
  for spared_slot in $live a b; do
    running_in "$spared_slot"
    spared=$REPLY
    [[ -z $spared ]] || return 0
  done
  spared_slot=$live
  if [[ -n $live ]]; then
    approved "$live"
    spared=$REPLY
  fi
}

# approve SLOT RELEASE: has the slot start RELEASE from now on, if its signature counts now, or it is what goes on
# running without (an undo, a restart). Else false, and `reason` says why.
approve() {
  local slot=$1 release=$2 live release_a release_b live_release spared spared_slot
  reason="slot $slot leads to no release"
  is_release "$release" || return 1
  reason="$release is not admitted: \`fab $ENVIRONMENT deploy\` admits what it deploys"
  is_admitted "$release" || return 1
  find_spared
  if [[ $spared != "$release" ]] && ! counts "$release"; then
    reason="$release is not accepted any more: $reason"
    return 1
  fi
  approved "$slot"
  if [[ $REPLY == "$release" ]]; then return 0; fi
  reason="$ADMITTED/$slot could not lead to $release: is the disk full?"
  ln -sfn -- "$release" "$ADMITTED/.$slot" && mv -fT -- "$ADMITTED/.$slot" "$ADMITTED/$slot" && sync -- "$ADMITTED"
}

# find_entered: puts the admitted releases in which a process of the app is, or whose program it runs, into `used`, an
# associative array of the caller's. A user can give a directory such a name, in a namespace of its own: so the
# directory itself counts, and not the kernel's text about it.
find_entered() {
  local link target
  while IFS= read -r -d '' link && IFS= read -r -d '' target; do
    [[ $link -ef $target ]] || continue
    target=${target#"$ADMITTED/"}
    target=${target%%/*}
    if is_release "$target"; then used[$target]=1; fi
  done < <(find /proc/[0-9]*/cwd /proc/[0-9]*/exe -maxdepth 0 -user "$APP_USER" -lname "$ADMITTED/*" \
    -printf '%p\0%l\0' 2>/dev/null)
}

# find_used: does the same with what the slots run, what root's links name, and what the deploy user's links name, which
# an activation is about to start. Call find_spared before.
find_used() {
  local slot
  used=()
  find_entered
  for slot in a b; do
    running_in "$slot"
    [[ -z $REPLY ]] || used[$REPLY]=1
    approved "$slot"
    [[ -z $REPLY ]] || used[$REPLY]=1
    linked_release "$slot"
    [[ -z $REPLY ]] || used[$REPLY]=1
  done
}
