#!/bin/bash
# Ends a deploy or a rollback on this host: prunes, writes the history, gives the lock back.
#
# Parameters: root, app, token, lease, keep (how many releases that have been live), entry (a JSON line about what failed, or
# empty), job_id (of the activation that failed, or empty).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${keep?}" "${entry?}" "${job_id?}"

still_ours "$lease"
# remember: what the history lacks. An activation that began has a line of its own, or will have.
remember() {
  settle || return 1
  if [[ -z $entry || -e $pending ]] || { [[ -n $job_id ]] && written "$job_id"; }; then return 0; fi
  append "$entry" && entry=''
}
# A full disk must not keep us from what makes room again.
remembered=true
remember || remembered=false

step prune
read_links
find_releases
# What a rollback would go to.
previous_of "$live_release"
previous=$REPLY
kept=0
pruned=()
for ((index = ${#complete[@]} - 1; index >= 0; index--)); do
  release=${complete[index]}
  if marked "$release" healthy; then
    kept=$((kept + 1))
    if ((kept <= keep)); then continue; fi
  elif [[ -z $live_release || $release > $live_release ]]; then
    # Newer than what is live: being looked at, or about to go out.
    continue
  fi
  if [[ $release != "$release_a" && $release != "$release_b" && $release != "$previous" ]]; then
    pruned+=("$release")
  fi
done
for release in "${pruned[@]}"; do
  # The name goes first: what is half gone is not complete.
  mv -T -- "$releases/$release" "$releases/$release.partial"
  rm -rf -- "$releases/$release.partial"
done
if [[ -e $root/activation/spare ]]; then rm -rf -- "$root/activation/spare"; fi
$remembered || remember || warn 'the history could not be written'
let_go
array "${pruned[@]}"
answer pruned: "$REPLY"
