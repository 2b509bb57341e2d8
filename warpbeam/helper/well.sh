#!/bin/bash
# The verb `well`: whether the node of a slot is well.

# Input: the slot, then an expression. Succeeds if the slot's node finds the expression true.
verb_well() {
  input_slot
  find_main_process
  take_expression
  if [[ $ADMISSION == yes ]]; then
    check_expression "$(cat)"
    exec <"$ETC/expression-well"
  fi
  beside --pipe rpc "$READ_AND_REQUIRE"
}
