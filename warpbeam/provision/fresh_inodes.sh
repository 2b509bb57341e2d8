#!/bin/bash
# Gives the files of an evicted user new inodes. The user may have passed descriptors of the old ones to a process of
# another user (unix(7), SCM_RIGHTS): these outlive the user's key and processes.
#
# Parameters: root (the app's directory; empty: this is no app host), suspects (root's file that names the releases
# which are there when a key is removed, a line each; see deploy/suspect.sh).
: "${root?}" "${suspects?}"

# copy_anew FILE: puts a copy in the place of FILE, if that is a plain file.
copy_anew() {
  [[ -f $1 && ! -L $1 ]] || return 0
  rm -rf -- "$1.warpbeam-new"
  cp -- "$1" "$1.warpbeam-new" && mv -fT -- "$1.warpbeam-new" "$1"
}

# renew_home HOME FILE ...: renews files of HOME.
renew_home() {
  local name
  umask 022
  cd -- "$1"
  for name in "${@:2}"; do copy_anew "$name"; done
}

# renew_root ROOT: renews what commands execute, read or lock in ROOT, but no releases. `activation` is replaced as a
# whole: only the last activation's result and its entry stay. The next command that has the lock removes the rest.
renew_root() {
  local old new name
  umask 027
  cd -- "$1"
  # Earlier versions of Warpbeam have this file.
  rm -rf -- lock.guard
  # On a full disk a lock ends, and the history begins anew.
  copy_anew lock || rm -f -- lock
  copy_anew history.jsonl || mv -fT -- history.jsonl history.jsonl.damaged
  new=$(mktemp -d ./activation.new.XXXXXXXX)
  chmod 2700 -- "$new"
  for name in pending result; do
    if [[ -f activation/$name && ! -L activation/$name ]]; then
      cp -- "activation/$name" "$new/$name" || rm -f -- "$new/$name"
    fi
  done
  old=$(mktemp -d ./activation.old.XXXXXXXX)
  mv -T -- activation "$old/activation"
  mv -T -- "$new" activation
}

# note_suspects: writes the names of the releases that are there.
note_suspects() {
  local directory name count=0
  for directory in "$root"/releases/*Z; do
    name=${directory##*/}
    if [[ $name =~ ^[0-9]{8}T[0-9]{6}Z$ ]]; then
      count=$((count + 1))
      printf '%s\n' "$name"
    fi
  done >"$suspects.new"
  chmod 644 -- "$suspects.new"
  sync -- "$suspects.new"
  mv -fT -- "$suspects.new" "$suspects"
  ((count == 0)) ||
    warn "who had the key may have changed the releases on this host: \`fab ENV deploy --force\` deploys the app anew"
}

# name_access_lists: warns about access control lists (acl(5)), which chmod(1) does not remove: they may let others into
# the app's directory, or into what will be made there. `ls` marks them with a `+`.
name_access_lists() {
  local mode directory
  for directory in "$root" "$root/releases" "$root/slots"; do
    read -r mode _ < <(exec ls -ld -- "$directory")
    if [[ $mode == *+ ]]; then
      warn "$directory has an access control list: remove it there with \`setfacl -b -k\` (package acl)"
    fi
  done
}

# renew USER HOME: renews the files of USER, of which no process runs.
renew() {
  local user=$1 home=$2 group said words
  words=$(as "$user" "$user" bash -euo pipefail -c "$(declare -f copy_anew renew_home)
    "'renew_home "$@"' renew_home "$home" "${LOGIN_FILES[@]}" "${OBEYED_FILES[@]}" 2>&1) || {
    mapfile -t said <<<"$words"
    fail "the files of $home that logins run could not be made anew" 'is the disk full? mend it, then run setup again' \
      "${said[@]}"
  }
  [[ -n $root ]] || return 0
  group=$(stat -c %G -- "$root")
  words=$(as "$user" "$group" bash -euo pipefail -c "$(declare -f copy_anew renew_root)
    "'renew_root "$@"' renew_root "$root" 2>&1) || {
    mapfile -t said <<<"$words"
    fail "the files of $root could not be made anew" 'is the disk full? mend it, then run setup again' "${said[@]}"
  }
  note_suspects
  name_access_lists
}
