#!/bin/bash
# Which releases stay on a host, once a deploy or a rollback has come to its end there.
#
# Parameters: root, keep (how many releases that have been live).
: "${root?}" "${keep?}"

# prune: removes what is not kept; the names of what it removed are in `pruned`. False: something could not be removed.
prune() {
  local release previous kept=0 index
  step prune
  pruned=()
  read_links
  find_releases
  # What a rollback would go to.
  previous_of "$live_release"
  previous=$REPLY
  for ((index = ${#complete[@]} - 1; index >= 0; index--)); do
    release=${complete[index]}
    if marked "$release" healthy && about "$release"; then
      kept=$((kept + 1))
      if ((kept <= keep)); then continue; fi
    elif [[ -z $live_release || $release > $live_release ]]; then
      # Newer than what is live: being looked at, or about to go out.
      continue
    fi
    if [[ $release != "$release_a" && $release != "$release_b" && $release != "$previous" ]]; then
      pruned+=("$release")
    fi
  done
  # Half of one, which got its name as whoever uploaded it lost the lock, is nobody's; that of a slot is for a person to look at.
  for release in "$releases"/*Z; do
    release=${release##*/}
    if [[ $release =~ ^[0-9]{8}T[0-9]{6}Z$ && ! -e $releases/$release/.warpbeam && $release != "$release_a" && $release != "$release_b" ]]; then
      pruned+=("$release")
    fi
  done
  # And room that an activation had kept for itself.
  local gone=("$root/activation/spare")
  for release in "${pruned[@]}"; do
    # The name goes first: what is half gone is not complete.
    mv -T -- "$releases/$release" "$releases/$release.partial" || return 1
    gone+=("$releases/$release.partial")
  done
  remove "${gone[@]}"
}
