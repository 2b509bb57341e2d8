#!/bin/bash
# Finds, as root, whether the live release would be admitted by the signers that setup is about to write. Changes
# nothing.
#
# Parameters: root (the app's directory), app (its name), deploy (the user who owns the releases), allowed and revoked
# (the texts of the signers' files; revoked may be empty).
: "${root?}" "${app?}" "${deploy?}" "${allowed?}" "${revoked?}"

# copied NAME MOST: copies a file of the live release, read as its owner, to $work.
copied() {
  timeout --signal=KILL 10 setpriv --reuid="$deploy" --regid="$deploy" --clear-groups --no-new-privs \
    --inh-caps=+net_bind_service --ambient-caps=+net_bind_service -- \
    dd "if=$releases/$live_release/.warpbeam/$1" iflag=nonblock,nofollow bs=64k status=none 2>/dev/null |
    head -c "$2" >"$work/$1" || true
}

main() {
  local name reason='' work
  read_links
  if [[ -z $live_release ]]; then
    answer live '' flaw ''
    return 0
  fi
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # this very directory
  trap "rm -rf -- ${work@Q}" EXIT
  # nobody reads these files by their descriptors.
  umask 022
  printf '%s' "$allowed" >"$work/allowed_signers"
  SIGNERS=$work/allowed_signers REVOKED=$work/revoked_signers
  [[ -z $revoked ]] || printf '%s' "$revoked" >"$REVOKED"
  for name in manifest links runtime; do copied "$name" 67108865; done
  copied signature "$((MOST_SIGNATURE + 1))"
  digest_of "$work"
  is_accepted "$work" "$REPLY" || true
  answer live "$live_release" flaw "$reason"
}

main
