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
# that digest by somebody who may sign now. 1: it is not; 2: that could not be found out. Then `reason` says why.
is_accepted() {
  local file=$1/signature principals statement who status
  reason=''
  if [[ ! -s $file ]]; then
    reason='it has no signature'
  elif (($(stat --format=%s -- "$file") > MOST_SIGNATURE || $(tr -d '\12\40-\176' <"$file" | wc -c) > 0)); then
    reason='its signature is no text that ssh-keygen makes'
  fi
  [[ -z $reason ]] || return 1
  reason="there is no $SIGNERS"
  [[ -s $SIGNERS ]] || return 2
  reason=''
  principals=$(without_rights ssh-keygen -Y find-principals -s /dev/fd/11 -f /dev/fd/10 \
    10<"$SIGNERS" 11<"$file" 2>/dev/null | head -n 8) || principals=''
  if [[ -z $principals ]]; then
    status=0
    explain_stranger "$file" || status=$?
    return "$status"
  fi
  printf -v statement 'warpbeam-release 1\n%s\n%s' "${root#/opt/}" "$2"
  while IFS= read -r who; do
    status=0
    signed_by "$who" "$file" "$statement" "$REVOKED" || status=$?
    ((status == 1)) || return "$status"
    [[ -e $REVOKED ]] || continue
    status=0
    signed_by "$who" "$file" "$statement" '' || status=$?
    ((status < 2)) || return 2
    if ((status == 0)); then
      reason="the key of its signer ${who@Q} is revoked"
      return 1
    fi
  done <<<"$principals"
  reason="its signature, of ${principals@Q}, is of something else: another app, another content or another purpose"
  return 1
}

# signed_by PRINCIPAL SIGNATURE STATEMENT REVOKED: whether the signature is PRINCIPAL's over STATEMENT, and its key is
# not in the file REVOKED, if that exists; 1 and 2 as above. (ssh-keygen may open files that nobody may read by their
# descriptors.)
signed_by() {
  local revoking=() revoked_file=/dev/null said status=0
  if [[ -n $4 && -e $4 ]]; then revoking=(-r /dev/fd/12) revoked_file=$4; fi
  said=$(without_rights ssh-keygen -Y verify -f /dev/fd/10 -I "$1" -n warpbeam-release -s /dev/fd/11 \
    "${revoking[@]}" <<<"$3" 2>&1 10<"$SIGNERS" 11<"$2" 12<"$revoked_file") || status=$?
  ((status != 0)) || return 0
  check_verdict "$status" "$said" 'Could not verify signature.'
}

# explain_stranger SIGNATURE: sets `reason`, where no key that counts now made the signature. False: 1 and 2 as above.
explain_stranger() {
  local said status=0
  said=$(without_rights ssh-keygen -Y find-principals -s /dev/fd/11 -f /dev/fd/10 2>&1 >/dev/null \
    10<"$SIGNERS" 11<"$1") || status=$?
  case $said in
    *'has expired'*) reason='the key of its signer has expired (valid-before in allowed_signers)' ;;
    *'not yet valid'*) reason='the key of its signer does not count yet (valid-after in allowed_signers)' ;;
    *) reason='its signature is by no key of allowed_signers' ;;
  esac
  check_verdict "$status" "$said" 'No principal matched.'
}

# check_verdict STATUS SAID VERDICT: always false: 1 where ssh-keygen came to that verdict about a signature; 2 where it
# did not, because it could not run, was ended, or could not read a file. Then `reason` says so.
check_verdict() {
  if (($1 == 255)) && [[ $2 == *"$3"* && $2 != *'Unable to open'* && $2 != *'sig_find_principals: '* ]]; then
    return 1
  fi
  reason="ssh-keygen came to no verdict (status $1)"
  return 2
}
