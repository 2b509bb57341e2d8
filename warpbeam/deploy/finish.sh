#!/bin/bash
# Ends a deploy or a rollback on this host: prunes, writes the history, gives the lock back.
#
# Parameters: root (the app's directory), app (its name), token (ours, of the lock), lease (seconds), those of prune.sh,
# entry (a JSON line about what failed, or empty), job_id (of the activation that failed, or empty).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${entry?}" "${job_id?}"

still_ours "$lease"
# remember: writes what the history lacks. An activation that began has an entry of its own, or will have.
remember() {
  settle || return 1
  if [[ -z $entry || -e $pending ]] || { [[ -n $job_id ]] && written "$job_id"; }; then return 0; fi
  append "$entry" && entry=''
}
# A full disk must not keep this script from pruning, which makes room again.
remembered=true
remember || remembered=false

prune
$remembered || remember || warn 'the history could not be written'
let_go
array "${pruned[@]}"
answer pruned: "$REPLY"
