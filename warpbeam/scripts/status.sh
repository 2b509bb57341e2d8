#!/bin/bash
# What is running here, as the kernel and systemd say, and whether it is healthy. Changes nothing.
#
# Parameters: root, app, door, ports (of slot a and b), health_path, health_status, health_timeout.
: "${root?}" "${app?}" "${door?}" "${ports?}" "${health_path?}" "${health_status?}" "${health_timeout?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" 'run setup first'
says=$(sudo -n -- "$door" status </dev/null) || refuse 'the root door does not answer' 'run setup'
live=$(live_slot)
health='' health_said=''
if [[ -n $live ]]; then
  port=${ports[0]}
  if [[ $live == b ]]; then port=${ports[1]}; fi
  if healthy "$port" "$health_path" "$health_status" "$health_timeout"; then health=healthy; else health="$health_said"; fi
fi
described; listed=$REPLY
object a "$(slot_release a)" b "$(slot_release b)"; slots=$REPLY
result=''
if [[ -r $root/activation/result ]]; then result=$(tr -d '\036' <"$root/activation/result"); fi
holder=null
if held; then holder=$held_text; fi
answer door "$says" live "$live" slots: "$slots" health "$health" releases: "$listed" lock: "$holder" result: "${result:-null}"
