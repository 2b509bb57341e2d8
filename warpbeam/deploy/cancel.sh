#!/bin/bash
# Asks an activation that runs here to stop, waits until it has ended, and reports how: before the rename of `current`
# it undoes its work, after the rename it finishes.
#
# Parameters: root (the app's directory), app (its name), job_id (of the activation).
: "${root?}" "${app?}" "${job_id?}"

if activating; then
  step undo
  # A full disk has no inode for the file but those of the spare space.
  touch -- "$root/activation/cancel" 2>/dev/null ||
    { rm -rf -- "$root/activation/spare"; touch -- "$root/activation/cancel"; }
  while activating; do sleep 0.1; done
fi
# The result of a job stays until the next job begins.
result_of "$job_id" || refuse 'that activation did not begin' 'nothing was changed by it'
answer "$result_kind:" "$result_ending"
