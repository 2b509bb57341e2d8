#!/bin/bash
# Decides on the host what a bundle does there, from the facts that claim.sh has gathered: that is sent before this
# script, and its variables are still there. `plan_deploy` decides the same for hosts that `fab` reaches.
#
# Parameters: release (its name on every host), made_digest (of the artifact).
: "${release?}" "${made_digest?}"

# kept_digest RELEASE: the sha256 of the artifact that a release here was made of, in REPLY; false where none is known.
kept_digest() {
  [[ -n $1 ]] && about "$1" && [[ $REPLY =~ \"sha256\":\"([0-9a-f]{64})\" ]] && REPLY=${BASH_REMATCH[1]}
}

# is_before RELEASE OTHER: whether the name of a release is an earlier time than that of another.
is_before() { [[ $1 < $2 ]]; }

# tell_live: what is live, as arguments of `object` in `told`.
tell_live() {
  local text
  told=(before "$live_release")
  if [[ -z $live_release ]] || ! about "$live_release"; then return 0; fi
  text=$REPLY
  if [[ $text =~ ^\{\"version\":\"([^\"]*)\",\"commit\":\"([0-9a-f]*)\" ]]; then
    told+=(before_version "${BASH_REMATCH[1]}" before_commit "${BASH_REMATCH[2]}")
  fi
  if [[ $text =~ \"dirty\":(true|false) ]]; then told+=(before_dirty: "${BASH_REMATCH[1]}"); fi
}

main() {
  local going=$release upload=true activate=true why=deploy problem remedy found told
  if kept_digest "$live_release" && [[ $REPLY == "$made_digest" ]]; then
    # It runs already, under any name.
    going=$live_release upload=false
    if [[ $serving == true ]]; then activate=false; fi
  elif [[ " ${complete[*]} " == *" $release "* ]]; then
    upload=false
    if ! kept_digest "$release" || [[ $REPLY != "$made_digest" ]]; then
      refuse "$releases/$release was made of another artifact" 'make the bundle again: it gets another name'
    fi
  fi
  if unfit "$upload" "$activate"; then refuse "$problem" "$remedy"; fi
  # Names are times: a bundle that is older than what is live takes the host back.
  if is_before "$going" "$live_release"; then why=rollback; fi
  tell_live
  answer going "$going" upload: "$upload" activate: "$activate" why "$why" "${told[@]}"
}

main
