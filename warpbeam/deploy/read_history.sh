#!/bin/bash
# Prints the last entries of this host's history, oldest first, each a JSON text. Writes out first what the last
# activation could not write.
#
# Parameters: root (the app's directory), app (its name), token (empty: no lock), count (of entries).
: "${root?}" "${app?}" "${token?}" "${count?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
if [[ -e $pending ]]; then
  guard
  # Under somebody's lease an activation may be about to begin; the holder of that lease writes the entry out.
  if ! held || [[ $held_boot == "$FROZEN" ]]; then settle || true; fi
  unguard
fi
entries=()
# A line that never ends is no reason to read all of the file: 2 MiB are some 4000 lines.
if [[ -f $history_file ]]; then mapfile -t entries < <(tail -c 2097152 -- "$history_file" | tail -n "$count"); fi
array "${entries[@]}"
answer entries: "$REPLY"
