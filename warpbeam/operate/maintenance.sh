#!/bin/bash
# Turns maintenance on or off. On: new connections get the page at once, then those that the app has are asked to end, so
# that nobody is left with it. Needs no deploy lock: it is for bad days too.
#
# Parameters: root, app, helper, verb (on, off), message, public (port), ports (of connections.sh), drain (seconds), those of noted.sh.
: "${root?}" "${app?}" "${helper?}" "${verb?}" "${message?}" "${public?}" "${ports?}" "${drain?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
says=$(sudo -n -- "$helper" status </dev/null) || refuse 'the privileged helper does not answer' 'run setup'
[[ $says == *$'\nmaintenance '* ]] || refuse 'the privileged helper of this host knows no maintenance' 'run setup'
already=false
if [[ $says == *$'\nmaintenance '"$verb"* ]]; then
  already=true
  note "maintenance was $verb already"
fi
read_links

step "$verb"
mapfile -t lines < <(printf '%s\n%s' "$verb" "$message" | sudo -n -- "$helper" maintenance 2>&1 || echo 'it failed')
((${#lines[@]} == 0)) || {
  noted failed "${lines[-1]}"
  fail "maintenance could not be turned $verb" 'see the lines above, and journalctl on the host' "${lines[@]}"
}
# Turned on again, it may have another page.
if [[ $verb == on || $already == false ]]; then noted 'done'; fi

left=0
if [[ $verb == on && -n $live ]] && ! activating; then
  connections "$live"
  if ((REPLY > 0)); then
    step drain
    # However this ends, the app is not left saying goodbye to everybody.
    trap 'sudo -n -- "$helper" undrain <<<"$live"' EXIT
    sudo -n -- "$helper" drain <<<"$live"
    drained "$live" "$drain"
    left=$REPLY
  fi
fi

step look
# Of whoever asks at the public port of this host itself.
healthy "$public" / 503 5 || true
answer verb "$verb" said "$health_said" left: "$left" release "$live_release"
