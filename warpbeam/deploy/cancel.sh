#!/bin/bash
# Asks an activation that runs here to stop, waits until it has ended, and reports how: before the rename of `current`
# it undoes its work, after the rename it finishes.
#
# Parameters: root (the app's directory), app (its name), job_id (of the activation).
: "${root?}" "${app?}" "${job_id?}"

# is_ours: whether the activation that runs is ours: its history entry is there from its beginning until its result is.
is_ours() { text_of "$root/activation/pending" 131072 && [[ $REPLY == "$job_id"$'\n'* ]]; }

# ask_to_stop: leaves the file that the job looks for. A full disk has no inode for it but those of the spare space.
ask_to_stop() {
  local file=$root/activation/cancel
  touch -- "$file" 2>/dev/null || { rm -rf -- "$root/activation/spare"; touch -- "$file"; }
}

main() {
  if activating && { is_ours || result_of "$job_id"; }; then
    step undo
    ask_to_stop
    while activating; do sleep 0.1; done
  fi
  # The result of a job stays until the next job begins.
  result_of "$job_id" || refuse 'that activation did not begin' 'nothing was changed by it'
  answer "$result_kind:" "$result_ending"
}

main
