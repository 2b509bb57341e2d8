#!/bin/bash
# Refuses an environment that the app on this host does not belong to, before a program of another kind runs for it.
# Changes nothing.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), environment.
: "${root?}" "${app?}" "${helper?}" "${environment?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
belongs_here
answer done: true
