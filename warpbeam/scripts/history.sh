#!/bin/bash
# The last lines of this host's history, oldest first; each is a JSON text that `finish` wrote.
#
# Parameters: root, count.
: "${root?}" "${count?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" 'run setup first'
entries=()
if [[ -r $root/history.jsonl ]]; then mapfile -t entries < <(tail -n "$count" -- "$root/history.jsonl"); fi
array "${entries[@]}"
answer entries: "$REPLY"
