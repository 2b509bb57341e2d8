#!/bin/bash
# One word with the privileged helper whose answer is text for people: what it says goes to standard output as it is.
#
# Parameters: helper, verb, input.
: "${helper?}" "${verb?}" "${input?}"

# The input is here already. For a verb that takes its time, standard input then stays open as long as we, or the other
# end, live: that is how the helper learns that nobody waits any more.
case $verb in
  logs-follow)
    { printf '%s' "$input"; exec cat; } | sudo -n -- "$helper" logs
    ;;
  eval)
    LC_ALL=C
    exec 4< <(printf '%s\n%s' "${#input}" "$input"; exec sleep infinity 2>/dev/null)
    lifeline=$!
    status=0
    sudo -n -- "$helper" eval <&4 || status=$?
    kill "$lifeline"
    exit "$status"
    ;;
  *)
    printf '%s' "$input" | sudo -n -- "$helper" "$verb"
    ;;
esac
