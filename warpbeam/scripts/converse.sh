#!/bin/bash
# One word with the root door whose answer is text for people: what it says goes to standard output as it is.
#
# Parameters: door, verb, input.
: "${door?}" "${verb?}" "${input?}"

# The expression (or whatever the verb takes) is here already; standard input stays open as long as the other end lives,
# which is how a following verb learns that nobody listens any more.
if [[ $verb == logs-follow ]]; then
  { printf '%s' "$input"; exec cat; } | sudo -n -- "$door" logs
else
  printf '%s' "$input" | sudo -n -- "$door" "$verb"
fi
