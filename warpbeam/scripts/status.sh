#!/bin/bash
# What is running here, as the kernel and systemd say, and whether it is healthy. Changes nothing.
#
# Parameters: root, app, door, and those of health.sh.
: "${root?}" "${app?}" "${door?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
says=$(sudo -n -- "$door" status </dev/null) || refuse 'the root door does not answer' 'run setup'
read_links
health='' health_said=''
if [[ -n $live ]]; then
  if well "$live"; then health=healthy; else health="$health_said"; fi
fi
find_releases; described; listed=$REPLY
object a "$release_a" b "$release_b"; slots=$REPLY
result=''
# Bounded, and not of a pipe: this user's own files may be anything.
if [[ -f $root/activation/result ]]; then IFS= read -r -d '' -n 65536 result <"$root/activation/result" || true; fi
result=${result//[$'\036\n']/}
holder=null
if held; then holder=$held_text; fi
answer door "$says" live "$live" slots: "$slots" health "$health" releases: "$listed" lock: "$holder" result: "${result:-null}"
