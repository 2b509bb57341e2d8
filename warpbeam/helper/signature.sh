#!/bin/bash
# Checks the signature of a release: whether a signer whom root's files name counts it as good now. The signed statement
# is that of docs/admission.md.

# The largest signature, in bytes.
readonly MOST_SIGNATURE=16384

# without_rights COMMAND ...: runs a command as nobody, because a signature is text of the deploy user's, and ssh-keygen
# reads it. A capability of no use here keeps other processes of that user from tracing it (ptrace(2)).
without_rights() {
  timeout --signal=KILL 10 setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
    --inh-caps=+net_bind_service --ambient-caps=+net_bind_service -- "$@"
}

# is_accepted DIRECTORY DIGEST: whether DIRECTORY/signature, a file of root's, is the signature over the release with
# that digest by somebody who may sign now. Else `reason` says why not.
is_accepted() {
  local file=$1/signature principals statement who
  reason=''
  if [[ ! -s $file ]]; then
    reason='it has no signature'
  elif (($(stat --format=%s -- "$file") > MOST_SIGNATURE || $(tr -d '\12\40-\176' <"$file" | wc -c) > 0)); then
    reason='its signature is no text that ssh-keygen makes'
  elif [[ ! -s $SIGNERS ]]; then
    reason="there is no $SIGNERS"
  fi
  [[ -z $reason ]] || return 1
  principals=$(without_rights ssh-keygen -Y find-principals -s /dev/fd/11 -f /dev/fd/10 \
    10<"$SIGNERS" 11<"$file" 2>/dev/null | head -n 8) || principals=''
  if [[ -z $principals ]]; then
    explain_stranger "$file"
    return 1
  fi
  printf -v statement 'warpbeam-release 1\n%s\n%s' "${root#/opt/}" "$2"
  while IFS= read -r who; do
    if signed_by "$who" "$file" "$statement" "$REVOKED"; then return 0; fi
    if [[ -e $REVOKED ]] && signed_by "$who" "$file" "$statement" ''; then
      reason="the key of its signer ${who@Q} is revoked"
      return 1
    fi
  done <<<"$principals"
  reason="its signature, of ${principals@Q}, is of something else: another app, another content or another purpose"
  return 1
}

# signed_by PRINCIPAL SIGNATURE STATEMENT REVOKED: whether the signature is PRINCIPAL's over STATEMENT, and its key is
# not in the file REVOKED, if that exists. (ssh-keygen may open files that nobody may read by their descriptors.)
signed_by() {
  local revoking=() revoked_file=/dev/null
  if [[ -n $4 && -e $4 ]]; then revoking=(-r /dev/fd/12) revoked_file=$4; fi
  without_rights ssh-keygen -Y verify -f /dev/fd/10 -I "$1" -n warpbeam-release -s /dev/fd/11 "${revoking[@]}" \
    <<<"$3" >/dev/null 2>&1 10<"$SIGNERS" 11<"$2" 12<"$revoked_file"
}

# explain_stranger SIGNATURE: sets `reason`, where no key that counts now made the signature.
explain_stranger() {
  local said
  said=$(without_rights ssh-keygen -Y find-principals -s /dev/fd/11 -f /dev/fd/10 2>&1 >/dev/null \
    10<"$SIGNERS" 11<"$1" | head -c 4096) || true
  case $said in
    *'has expired'*) reason='the key of its signer has expired (valid-before in allowed_signers)' ;;
    *'not yet valid'*) reason='the key of its signer does not count yet (valid-after in allowed_signers)' ;;
    *) reason='its signature is by no key of allowed_signers' ;;
  esac
}
