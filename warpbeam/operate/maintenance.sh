#!/bin/bash
# Turns maintenance on or off. On: new connections get the page at once; then the app asks its open connections to end,
# so that no client stays with it. Takes no deploy lock: maintenance must work on bad days too.
#
# Parameters: root, app, helper, verb (on, off), message (on the page), keep (true: a page that is shown
# already keeps its text), public (the public port), ports (of
# connections.sh), drain (seconds), environment (that this host must belong to), those of note_action.sh.
: "${root?}" "${app?}" "${helper?}" "${verb?}" "${message?}" "${keep?}" "${public?}" "${ports?}" "${drain?}"
: "${environment?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
belongs_here
says=$(sudo -n -- "$helper" status </dev/null) || refuse 'the privileged helper does not answer' 'run setup'
already=false was=off text=$message
# A helper of a version before 0.2 answers in words.
if [[ $says == *'"maintenance":true'* || $says == *'maintenance on'* ]]; then was=on; fi
if [[ $was == "$verb" ]]; then
  already=true said=''
  if [[ $verb == on && $keep == true ]]; then
    text='' said='; its page keeps the text that it has'
  elif [[ $verb == on ]]; then
    said='; its page has the new text'
  fi
  note "maintenance was $verb already$said"
fi
read_links

step "$verb"
mapfile -t lines < <(printf '%s\n%s' "$verb" "$text" | sudo -n -- "$helper" maintenance 2>&1 || echo 'it failed')
((${#lines[@]} == 0)) || {
  note_action failed "${lines[-1]}"
  fail "maintenance could not be turned $verb" 'see the lines above, and journalctl on the host' "${lines[@]}"
}
# `on` is noted even if maintenance was on already, where the page has another text.
if [[ ($verb == on && -n $text) || $already == false ]]; then note_action 'done'; fi

left=0
if [[ $verb == on && -n $live ]] && ! activating; then
  connections "$live"
  if ((REPLY > 0)); then
    step drain
    # Undo the drain however this script ends: otherwise the app would go on asking every client to leave.
    trap 'sudo -n -- "$helper" undrain <<<"$live"' EXIT
    sudo -n -- "$helper" drain <<<"$live"
    drained "$live" "$drain"
    left=$REPLY
  fi
fi

step look
# Ask at the public port from this host itself.
http_answers "$public" / 503 5 || true
answer verb "$verb" said "$health_said" left: "$left" release "$live_release"
