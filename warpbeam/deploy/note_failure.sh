#!/bin/bash
# Writes a line of history about what failed before an activation.
#
# Parameters: root, token, entry (a JSON line).
: "${root?}" "${token?}" "${entry?}"

guard
append "$entry" || warn 'the history could not be written'
unguard
answer done: true
