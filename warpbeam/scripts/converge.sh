#!/bin/bash
# Makes a host what setup's plan says, as root. Every part is idempotent; the plan holds only what differs.
#
# Parameters: users (NAME HOME LOGIN, three items each), directories (PATH MODE OWNER GROUP), files (PATH MODE OWNER
# GROUP NEEDS CONTENT), units to enable.
: "${users[@]-}" "${directories[@]-}" "${files[@]-}" "${units[@]-}" "${reconcile?}"

step users
for ((i = 0; i < ${#users[@]}; i += 3)); do
  name=${users[i]} home=${users[i + 1]} login=${users[i + 2]}
  if [[ $login == true ]]; then
    useradd --user-group --create-home --home-dir "$home" --shell /bin/bash -- "$name"
    # No password, but not locked either: sshd without PAM refuses keys for a locked account (sshd(8)).
    usermod --password '*' -- "$name"
  else
    useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin -- "$name"
  fi
done

# as OWNER GROUP COMMAND ...: a path below another user's directory is touched as that user only; as root, a link put there
# in the right moment would lead anywhere. In GROUP, because chmod(2) by an outsider drops the set-group-ID bit.
as() {
  local owner=$1 group=$2
  shift 2
  if [[ $owner == root ]]; then
    "$@"
  else
    setpriv --reuid="$owner" --regid="$group" --clear-groups -- "$@"
  fi
}

step directories
for ((i = 0; i < ${#directories[@]}; i += 4)); do
  path=${directories[i]} mode=${directories[i + 1]} owner=${directories[i + 2]} group=${directories[i + 3]}
  [[ ! -L $path ]] || fail "$path is a symbolic link; expected a directory" 'remove it on the host and run setup again'
  parent=$(stat -c %U -- "${path%/*}")
  as "$parent" "$group" mkdir -p -- "$path"
  if [[ $parent == root ]]; then
    chown --no-dereference "$owner:$group" -- "$path"
    chmod "$mode" -- "$path"
  elif [[ $(stat -c %U -- "$path") == "$owner" ]]; then
    as "$owner" "$group" chgrp --no-dereference "$group" -- "$path"
    as "$owner" "$group" chmod "$mode" -- "$path"
  else
    fail "$path belongs to $(stat -c %U -- "$path"); expected $owner" 'chown it on the host and run setup again'
  fi
done

# put PATH MODE NEEDS < CONTENT: write a new file beside PATH, check it, rename it over PATH.
put() {
  local path=$1 mode=$2 needs=$3 new=$1.warpbeam-new
  rm -f -- "$new"
  (umask 077 && set -C && cat >"$new")
  chmod "$mode" -- "$new"
  case $needs in
    visudo) visudo -cqf "$new" ;;
    nft) nft -c -f "$new" ;;
  esac || {
    rm -f -- "$new"
    return 1
  }
  sync -- "$new"
  mv -fT -- "$new" "$path"
}
export -f put

step files
reload=false
for ((i = 0; i < ${#files[@]}; i += 6)); do
  path=${files[i]} mode=${files[i + 1]} owner=${files[i + 2]} needs=${files[i + 4]}
  # shellcheck disable=SC2016 # expanded by the inner bash
  as "$owner" "$owner" bash -euo pipefail -c 'put "$@"' put "$path" "$mode" "$needs" <<<"${files[i + 5]%$'\n'}" ||
    fail "$path could not be written, or its check failed" 'nothing after it was changed; the same command goes on from here'
  [[ $needs != *daemon-reload* ]] || reload=true
done

step units
if $reload; then systemctl daemon-reload; fi
for unit in "${units[@]}"; do
  systemctl enable --quiet -- "$unit"
  systemctl start -- "$unit"
done
if [[ -n $reconcile ]]; then "$reconcile" reconcile; fi
answer changed: true
