#!/bin/bash
# Reads the input of a verb from standard input, and checks it.

# Reads a line of at most 255 characters from standard input into REPLY; byte by byte: the program gets the rest.
input() {
  IFS= read -r -t 30 -n 256 REPLY 2>/dev/null || [[ -n ${REPLY-} ]] || die "expected $1 on standard input"
  ((${#REPLY} < 256)) || die "expected $1 on standard input, found a line of 256 characters or more"
}

input_slot() {
  input 'a slot (a or b)'
  [[ $REPLY == a || $REPLY == b ]] || die 'expected a slot (a or b) on standard input'
  slot=$REPLY
}
