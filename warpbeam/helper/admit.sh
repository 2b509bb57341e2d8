#!/bin/bash
# The verb `admit`: verifies the signature of a release, then every file, into a tree that only root can write.

# Input: a release. Prints a line for each step, and last `admitted` (a new copy) or `known` (it was admitted before).
verb_admit() {
  local reason
  [[ $ADMISSION == yes ]] || cannot 'this host admits every release: it has no allowed_signers'
  input 'a release'
  is_release "$REPLY" || die 'expected a release such as 20261123T120000Z on standard input'
  admit "$REPLY"
}

# admit RELEASE: the whole of an admission. A rename is its last step: nothing half-made has a release's name.
admit() {
  local new=$ADMITTED/.new lists=$ADMITTED/.lists digest known=''
  lock_admission
  clear_leftovers
  trap 'clear_leftovers 2>/dev/null' EXIT
  # An undo may need what does not count any more.
  if [[ ! -e /run/$app-activate ]]; then discard "$1"; fi
  (umask 077 && mkdir -- "$lists") || cannot "$ADMITTED is on a full disk: make room there"
  echo signature
  receive "$1"
  digest_of "$lists"
  digest=$REPLY
  if is_admitted "$1"; then
    digest_of "$ADMITTED/$1/.warpbeam"
    known=$REPLY
    [[ $known == "$digest" ]] || cannot "$1 was admitted with another content: \`deploy --force\` gives it a new name"
  fi
  accept "$1" "$digest" "$known"
  if [[ -z $known ]]; then
    read_manifest
    mkdir -- "$new"
    echo copy
    copy_files "$1"
    echo verify
    compare_copy "$1"
    keep "$1"
  fi
  clear_leftovers
  trap - EXIT
  exec 8>&-
  if [[ -z $known ]]; then echo admitted; else echo known; fi
}

# accept RELEASE DIGEST KNOWN: refuses a release that nobody signed who may sign now. One that runs already is no
# exception of an attacker's: a restart of it needs no signer.
accept() {
  local -A used=()
  if is_accepted "$lists" "$2"; then
    # The release may have been signed anew.
    if [[ -n $3 ]] && ! cmp -s -- "$lists/signature" "$ADMITTED/$1/.warpbeam/signature"; then
      install -m 644 -- "$lists/signature" "$ADMITTED/$1/.signature"
      mv -fT -- "$ADMITTED/$1/.signature" "$ADMITTED/$1/.warpbeam/signature"
    fi
    return 0
  fi
  if [[ -n $3 ]]; then
    find_used
    if [[ -n ${used[$1]-} ]]; then
      printf 'warpbeam-helper: %s runs, and would not be admitted anew: %s\n' "$1" "$reason" >&2
      return 0
    fi
  fi
  logger -p auth.warning -t "warpbeam-$app" -- "the release $1 was not admitted: $reason" || true
  cannot "the release $1 is not admitted: $reason"
}

# keep RELEASE: gives the copy its name, when all of it is on the disk.
keep() {
  install -d -m 750 -g "$APP_USER" -- "$new/.warpbeam"
  install -m 640 -g "$APP_USER" -t "$new/.warpbeam" -- "$lists"/{manifest,links,runtime}
  # ssh-keygen reads the signature as nobody, by its descriptor.
  install -m 644 -t "$new/.warpbeam" -- "$lists/signature"
  sync -f -- "$new" || cannot "$ADMITTED is on a full disk: make room there"
  mv -T -- "$new" "$ADMITTED/$1"
  sync -f -- "$ADMITTED"
}

# lock_admission: takes the lock of $ADMITTED, for as long as descriptor 8 is open.
lock_admission() {
  exec 8>>"/run/warpbeam-$app.admission"
  flock -w 60 8 || cannot 'another admission has not ended within 60 s'
}

# clear_leftovers: removes what an admission that was interrupted has left, and ends the program that unpacked it.
clear_leftovers() {
  cd /
  if systemctl is-active --quiet -- "$app-admit.service"; then systemctl stop -- "$app-admit.service" || true; fi
  rm -rf -- "$ADMITTED"/.new "$ADMITTED"/.lists "$ADMITTED"/.*.gone
}
