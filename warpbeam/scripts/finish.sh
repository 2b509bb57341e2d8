#!/bin/bash
# Ends a deploy or a rollback on this host: prunes, writes the history, gives the lock back.
#
# Parameters: root, app, token, lease, keep (how many releases that have been live), entry (a JSON line for the history, or empty).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${keep?}" "${entry?}"

still_ours "$lease"
if [[ -n $entry ]]; then
  # A full disk must not keep us from what makes room again.
  printf '%s\n' "$entry" >>"$root/history.jsonl" || warn 'the history could not be written'
fi

step prune
live=$(slot_release "$(live_slot)")
declare -A needed=()
for slot in a b; do
  release=$(slot_release "$slot")
  [[ -z $release ]] || needed[$release]=1
done
# What a rollback would go to.
previous=$(previous_of "$live")
[[ -z $previous ]] || needed[$previous]=1
kept=0
pruned=()
while read -r release; do
  if marked "$release" healthy; then
    kept=$((kept + 1))
    if ((kept <= keep)); then continue; fi
  elif [[ -z $live || $release > $live ]]; then
    # Newer than what is live: being looked at, or about to go out.
    continue
  fi
  [[ -z ${needed[$release]-} ]] || continue
  pruned+=("$release")
done < <(complete_releases | sort -r)
for release in "${pruned[@]}"; do
  # The name goes first: what is half gone is not complete.
  mv -T -- "$releases/$release" "$releases/$release.partial"
  rm -rf -- "$releases/$release.partial"
done
rm -rf -- "$root/activation/spare"
let_go
array "${pruned[@]}"
answer pruned: "$REPLY"
