#!/bin/bash
# The step of a job that makes the release live, by one rename of `current`, and its undo.
#
# Parameters: root (the app's directory), release (to make live), withdraw (true: the release that was live is marked as
# rolled back from).
: "${root?}" "${release?}" "${withdraw?}"

# make_current: marks the release as live, and makes `current` lead to it. Undo: take_back_current, while the old
# instance still runs; without it the release stays live from here on, whatever fails (`renamed`).
make_current() {
  step current
  was_healthy=false
  if was_live "$release"; then was_healthy=true; fi
  with_spare_space mark_live "$release"
  unmark "$release" failed
  unmark "$release" withdrawn
  if [[ $withdraw == true && -n $left && $left != "$release" ]]; then mark "$left" withdrawn; fi
  # The release itself was synced at its upload; this syncs the slot's link and the marks.
  sync -f -- "$releases"
  with_spare_space point "$root/current" "slots/$idle"
  renamed=true
  sync -f -- "$root"
}

# take_back_current: makes `current` lead to the old release again.
take_back_current() {
  with_spare_space point "$root/current" "slots/$live"
  renamed=false
  sync -f -- "$root"
  # Remove the mark only now: `current` never leads to a release without it. A release that was live before keeps it,
  # so that a rollback or a restart that fails does not have an old release pruned.
  if [[ $was_healthy == false ]]; then unmark_live "$release"; fi
  if [[ $withdraw == true ]]; then unmark "$left" withdrawn; fi
}
