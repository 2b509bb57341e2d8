#!/bin/bash
# Writes the history entry of a failure before an activation.
#
# Parameters: root (the app's directory), app (its name), token (ours, of the lock), entry (a JSON line).
: "${root?}" "${token?}" "${entry?}"

guard
append "$entry" || warn 'the history could not be written'
unguard
answer done: true
