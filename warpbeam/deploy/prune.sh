#!/bin/bash
# Decides which releases stay on a host at the end of a deploy or a rollback, and removes the others.
#
# Parameters: root (the app's directory), keep (how many releases that were live stay).
: "${root?}" "${keep?}"

# prune: removes what is not kept; `pruned` has the names of those releases. False: something could not be removed.
prune() {
  local release previous kept=0 index
  step prune
  pruned=()
  read_links
  find_releases
  # Keep the release that a rollback would go to.
  previous_of "$live_release"
  previous=$REPLY
  for ((index = ${#complete[@]} - 1; index >= 0; index--)); do
    release=${complete[index]}
    if was_live "$release" && about "$release"; then
      kept=$((kept + 1))
      if ((kept <= keep)); then continue; fi
    elif [[ -z $live_release || $release > $live_release ]]; then
      # Newer than the live release: somebody may look at it, or it is about to go out.
      continue
    fi
    if [[ $release != "$release_a" && $release != "$release_b" && $release != "$previous" ]]; then
      pruned+=("$release")
    fi
  done
  # Remove half a release, which got its name as its upload lost the lock; but keep one that a slot leads to, for a
  # person to look at.
  for release in "$releases"/*Z; do
    release=${release##*/}
    if is_release "$release" && [[ ! -e $releases/$release/.warpbeam &&
      $release != "$release_a" && $release != "$release_b" ]]; then
      pruned+=("$release")
    fi
  done
  # Remove the spare space that an activation kept for itself.
  local gone=("$root/activation/spare")
  for release in "${pruned[@]}"; do
    # Rename first: find_releases must not take a release that is half removed for a complete one.
    mv -T -- "$releases/$release" "$releases/$release.partial" || return 1
    gone+=("$releases/$release.partial")
  done
  remove "${gone[@]}"
}
