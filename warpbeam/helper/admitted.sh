#!/bin/bash
# The verb `admitted`: which releases are admitted, and whether their signatures count now. Changes nothing.

# Prints a line for each admitted release: its name, the slots that start it (or -), and why its signature does not
# count now (or nothing).
verb_admitted() {
  local directory release slots slot reason
  [[ $ADMISSION == yes ]] || return 0
  for directory in "$ADMITTED"/*Z; do
    release=${directory##*/} slots=''
    if ! is_release "$release" || ! is_admitted "$release"; then continue; fi
    for slot in a b; do
      approved "$slot"
      if [[ $REPLY == "$release" ]]; then slots+=$slot; fi
    done
    counts "$release" || true
    printf '%s %s %s\n' "$release" "${slots:--}" "$reason"
  done
}
