#!/bin/bash
# Runs one verb of the privileged helper whose answer is text for people: its output goes to standard output as it is.
#
# It runs as the deploy user or, for a verb that this user may not ask for, as root.
#
# Parameters: helper, verb, input.
: "${helper?}" "${verb?}" "${input?}"

become=(sudo -n --)
if ((EUID == 0)); then become=(); fi
# All of the input is in $input. For a verb that takes long, standard input then stays open as long as this script and
# the other end live: when it closes, the helper learns that no client waits any more.
case $verb in
  logs-follow)
    { printf '%s' "$input"; exec cat; } | "${become[@]}" "$helper" logs
    ;;
  eval)
    LC_ALL=C
    exec 4< <(printf '%s\n%s' "${#input}" "$input"; exec sleep infinity 2>/dev/null)
    lifeline=$!
    status=0
    "${become[@]}" "$helper" eval <&4 || status=$?
    kill "$lifeline"
    exit "$status"
    ;;
  *)
    printf '%s' "$input" | "${become[@]}" "$helper" "$verb"
    ;;
esac
