#!/bin/bash
# Runs the migrations of a release in a VM of its own, with the environment that it will run with.
#
# Parameters: root, app, door, token, lease, release, expression.
: "${root?}" "${app?}" "${door?}" "${token?}" "${lease?}" "${release?}" "${expression?}"

still_ours "$lease"
step migrate
log=$root/activation/migrate.log
status=0
shown "$log" sudo -n -- "$door" migrate < <(printf '%s\n%s\n' "$release" "$expression") || status=$?
if ((status != 0)); then
  mapfile -t lines < <(tail -n 30 -- "$log")
  fail "the migrations of $release failed with status $status" 'nothing was switched: the old release serves' "${lines[@]}"
fi
answer status: 0
