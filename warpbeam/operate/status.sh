#!/bin/bash
# Reads what is running here, as the kernel and systemd report it, and whether it is healthy. Changes nothing.
#
# Parameters: root, app, helper, those of health.sh, node_ports (of nodes that have peers), environment
# (that asks).
: "${root?}" "${app?}" "${app_user?}" "${helper?}" "${node_ports[@]-}"
: "${environment?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
says=$(sudo -n -- "$helper" status </dev/null) || refuse 'the privileged helper does not answer' 'run setup'
[[ $says == '{'*'}' ]] || refuse 'the privileged helper of this host is of another version of Warpbeam' 'run setup'
read_links
health='' health_said=''
if [[ -n $live ]]; then
  if is_healthy "$live"; then
    health=healthy
  else
    if [[ -z $stranger ]]; then owned "$live" || true; fi
    health=${stranger:-$health_said}
  fi
fi
find_releases; described; listed=$REPLY
object a "$release_a" b "$release_b"; slots=$REPLY
held || held_text=''
connected='[]'
if ((${#node_ports[@]})); then links "$app" "$app_user" "${node_ports[@]}"; connected=$REPLY; fi
owner; belongs=$REPLY
answer links: "$connected" helper: "$says" live "$live" slots: "$slots" health "$health" releases: "$listed" \
  lock "$held_text" belongs "$belongs"
