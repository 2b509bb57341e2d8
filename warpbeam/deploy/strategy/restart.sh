#!/bin/bash
# The strategy `restart`: the old instance stops, then the new one starts.

# replace_instance: the steps in order. `undo` is what give_up runs, from the first to the last.
replace_instance() {
  undo=(leave_slot restore_old)
  take_slot
  if [[ -n $live ]]; then
    leave_balancer
    stop_old || give_up 'the old instance could not be stopped'
  fi
  start_new
  await_new
  lead_to_new
  make_current
  lead_again
}
