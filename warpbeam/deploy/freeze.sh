#!/bin/bash
# The deploy lock at a person's request: shows who holds it, takes it until further notice (a freeze), or gives it back.
#
# Parameters: root (the app's directory), app (its name), token (of this command), verb (status, acquire, release), text
# (JSON: who, why, since), words (the same for people), force (true: release a lease too), helper (path of the
# privileged helper), environment (that this host must belong to, unless the verb is status), those of note_action.sh.
: "${root?}" "${app?}" "${token?}" "${verb?}" "${text?}" "${words?}" "${force?}"
: "${helper?}" "${environment?}"

[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first'
[[ $verb == status ]] || belongs_here
before=''
case $verb in
  status) if held; then before=$held_text; fi ;;
  acquire)
    guard
    if held; then
      refuse "the deploy lock is held already by $held_words" \
        '`fab ENV lock.status` shows it; `fab ENV lock.release` ends it'
    fi
    write_freeze "$text" "$words"
    ;;
  release)
    guard
    if held; then
      before=$held_text
      if [[ $held_boot != "$FROZEN" && $force != true ]]; then
        refuse "the deploy lock is no freeze, but that of a running command: $held_words" \
          'wait for it to end; --force takes it away all the same'
      fi
      rm -f -- "$lock"
    fi
    ;;
esac
frozen=false left=0
if held; then
  if [[ $held_boot == "$FROZEN" ]]; then
    frozen=true
  else
    uptime_seconds
    left=$((held_ends - REPLY))
  fi
fi
held || held_text=''
if [[ $verb == acquire || ($verb == release && -n $before) ]]; then
  unguard
  read_links
  note_action 'done'
fi
answer before "$before" holder "$held_text" frozen: "$frozen" left: "$left"
