#!/bin/bash
# Runs the migrations of a release in a VM of its own, with the environment that it will run with.
#
# Parameters: root, app, helper, token, lease, release, expression.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${release?}" "${expression?}"

still_ours "$lease"
step migrate
log=$root/activation/migrate.log
status=0
# The expression, and then nothing for as long as we live: so the helper ends the migrations when we are interrupted.
exec 4< <(printf '%s\n%s\n%s' "$release" "${#expression}" "$expression"; exec sleep infinity 2>/dev/null)
lifeline=$!
shown "$log" sudo -n -- "$helper" migrate <&4 || status=$?
kill "$lifeline" || true
if ((status != 0)); then
  # What they said was shown as it came.
  fail "the migrations of $release failed with status $status" 'nothing was switched: the old release serves'
fi
answer status: 0
