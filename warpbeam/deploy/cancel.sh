#!/bin/bash
# Asks an activation that runs here to stop, waits until it has ended, and tells how: before the rename it undoes what it
# did, after it it finishes.
#
# Parameters: root, app, job_id.
: "${root?}" "${app?}" "${job_id?}"

if activating; then
  step undo
  # A full disk has no inode for it, but what was kept for the activation.
  touch -- "$root/activation/cancel" 2>/dev/null || { rm -rf -- "$root/activation/spare"; touch -- "$root/activation/cancel"; }
  while activating; do sleep 0.1; done
fi
# The result of a job stays until the next begins.
result_of "$job_id" || refuse 'that activation did not begin' 'nothing was changed by it'
REPLY=${REPLY//$'\036'/}
record "{\"answer\":${REPLY%$'\n'}}"
