#!/bin/bash
# Runs the migrations of a release in a VM of its own, with the environment that the release will run with.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), token (ours, of the
# lock), lease (seconds), release, expression (of Elixir, which migrates).
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${release?}" "${expression?}"

still_ours "$lease"
step migrate
log=$root/activation/migrate.log
rm -rf -- "$log" "$log.status"
status=0
# The input stays open after the expression as long as this script lives: when that is interrupted, the helper sees the
# end of its input and ends the migrations.
exec 4< <(printf '%s\n%s\n%s' "$release" "${#expression}" "$expression"; exec sleep infinity 2>/dev/null)
lifeline=$!
shown "$log" sudo -n -- "$helper" migrate <&4 || status=$?
kill "$lifeline" || true
if ((status != 0)); then
  # The output of the migrations was shown as it came.
  fail "the migrations of $release failed with status $status" 'nothing was switched: the old release serves'
fi
answer status: 0
