#!/bin/bash
# Gives the deploy lock back if it is ours, and removes what an upload left half made.
#
# Parameters: root (the app's directory), token (ours, of the lock).
: "${root?}" "${token?}"

held || true
if [[ $held_token == "$token" ]]; then rm -rf -- "$root"/releases/*.partial; fi
let_go
answer done: true
