#!/bin/bash
# Removes admitted copies: those whose signatures do not count any more, and those that are too many.

# discard [RELEASE]: removes the admitted copies whose signature does not count now, so that nobody can start them, but
# the one that goes on running. Then those that nothing uses: where their release is gone from $root/releases, and the
# oldest ones beyond $MOST_ADMITTED, with room for RELEASE, which is about to be admitted. Every copy can be admitted
# again. A copy stays where its signature could not be checked.
discard() {
  local -A used=()
  local directory release reason status most=$MOST_ADMITTED copies=() live release_a release_b live_release \
    spared spared_slot
  find_spared
  find_used
  for directory in "$ADMITTED"/*Z; do
    release=${directory##*/} status=0
    if ! is_release "$release" || ! is_admitted "$release"; then continue; fi
    counts "$release" || status=$?
    if ((status == 1)); then
      [[ $release == "$spared" ]] || revoke "$release" "$reason"
    elif ((status > 1)); then
      printf 'warpbeam-helper: whether the signature of %s counts could not be checked: %s\n' "$release" "$reason" >&2
    elif [[ $release != "${1-}" && -z ${used[$release]-} ]]; then
      if is_gone "$release"; then drop "$release" 'its release is gone'; else copies+=("$release"); fi
    fi
  done
  if [[ -n ${1-} ]] && ! is_admitted "$1"; then most=$((most - 1)); fi
  while ((${#copies[@]} > most)); do
    drop "${copies[0]}" "there are more than $most"
    copies=("${copies[@]:1}")
  done
}

# is_gone RELEASE: whether the deploy user's tree does not have it. (That it could not be looked at is no answer.)
is_gone() {
  local status=0
  as_deploy test -d "$releases/$1" || status=$?
  ((status == 1))
}

# revoke RELEASE REASON: removes a copy that must not start again. Nothing starts from there from the rename on; then
# what a slot still runs of it is ended.
revoke() {
  local slot runs=''
  for slot in a b; do
    running_in "$slot"
    if [[ $REPLY == "$1" ]]; then runs+=$slot; fi
  done
  set_aside "$1" "$2"
  for slot in a b; do
    [[ $slot != "$spared_slot" ]] || continue
    if [[ $(readlink -- "$ADMITTED/$slot") == "$1" ]]; then
      rm -f -- "$ADMITTED/$slot"
      runs+=$slot
    fi
    if [[ $runs == *$slot* ]]; then end_slot "$slot"; fi
  done
  rm -rf -- "$ADMITTED/.$1.gone"
}

# end_slot SLOT: ends the instance in a slot, within a time in which others can wait for the lock.
end_slot() {
  timeout 10 systemctl stop -- "$app@$1.service" || {
    systemctl kill --signal=KILL -- "$app@$1.service" || true
    systemctl stop -- "$app@$1.service" || true
  }
}

# drop RELEASE REASON: removes an admitted copy.
drop() {
  set_aside "$1" "$2"
  rm -rf -- "$ADMITTED/.$1.gone"
}

# set_aside RELEASE REASON: takes the name away from a copy. After a crash, the next admission removes what is left.
set_aside() {
  printf 'warpbeam-helper: the admitted copy of %s is removed: %s\n' "$1" "$2" >&2
  mv -T -- "$ADMITTED/$1" "$ADMITTED/.$1.gone"
}
