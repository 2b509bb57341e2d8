#!/bin/bash
# Repairs `current` when it leads to no release.

# mend_link LINK TARGET: makes a link below $root lead to TARGET again.
mend_link() {
  point "$root/$1" "$2" || return 1
  printf 'warpbeam-helper: %s/%s led nowhere; it leads to %s again\n' "$root" "$1" "$2" >&2
}

# mend_current: repairs `current` when it leads to no release (a link removed or changed by hand, a release deleted). It
# leads to the running slot; else to the newer slot whose release was live; else to the newest good release, as a
# rollback would. Sets `live`.
mend_current() {
  local slot release pid best='' rank='' runs=no
  read_links
  if [[ -n $live ]] && is_usable "$live_release"; then return 0; fi
  for slot in a b; do
    # A failed check does not mean that a release is gone.
    [[ $hindered == no ]] || return 1
    linked_release "$slot"
    release=$REPLY
    pid=$(property "$app@$slot.service" MainPID)
    if ((pid > 0)); then
      runs=yes
      if ! is_usable "$release"; then
        release_of "$slot" "$pid"
        release=$REPLY
        is_usable "$release" || continue
        mend_link "slots/$slot" "../releases/$release" || return 1
      fi
    fi
    # A mark is the deploy user's: a release that cannot run is not chosen for it.
    if ! was_live "$release" || ! is_usable "$release"; then continue; fi
    if [[ "$((pid > 0)) $release" > $rank ]]; then best=$slot rank="$((pid > 0)) $release"; fi
  done
  if [[ -z $best && $runs == no ]]; then
    find_releases
    newest_good
    [[ $hindered == no ]] || return 1
    if [[ -n $REPLY ]]; then
      best=${live:-a}
      mend_link "slots/$best" "../releases/$REPLY" || return 1
    fi
  fi
  [[ -n $best && $best != "$live" ]] || return 0
  mend_link current "slots/$best" || return 1
  read_links
}
