#!/bin/bash
# Where things are below $root, and what can be read from there without being root.
: "${root?}" "${app?}"

releases=$root/releases

# The slot that `current` names; empty when it names none.
live_slot() {
  case $(readlink -- "$root/current" 2>/dev/null || true) in
    slots/a) echo a ;;
    slots/b) echo b ;;
  esac
}

# slot_release SLOT: the release that the slot's link names; empty when there is none.
slot_release() {
  local text
  text=$(readlink -- "$root/slots/$1" 2>/dev/null) || true
  [[ $text == ../releases/* ]] && echo "${text##*/}"
  true
}

other_slot() { if [[ $1 == a ]]; then echo b; else echo a; fi; }

activating() { [[ $(systemctl show --property=ActiveState --value -- "$app-activate.service") == *activating ]]; }

# point LINK TARGET: LINK leads to TARGET from one moment to the next (rename(2)).
point() {
  ln -sfn -- "$2" "$1.new" && mv -fT -- "$1.new" "$1"
}

# Complete releases, oldest first. Their names sort by time; a directory gets its name only when all of it is there.
complete_releases() {
  local directory
  for directory in "$releases"/*Z; do
    [[ -d $directory/.warpbeam ]] && echo "${directory##*/}"
  done
  true
}

# marked RELEASE MARK: marks are healthy (has been live), failed, withdrawn (rolled back from).
marked() { [[ -e $releases/$1/.warpbeam/$2 ]]; }

# previous_of RELEASE: the newest release before it that has been live and was not rolled back from; empty: none.
previous_of() {
  local release found=''
  while read -r release; do
    [[ $release < $1 ]] || break
    if marked "$release" healthy && ! marked "$release" withdrawn; then found=$release; fi
  done < <(complete_releases)
  echo "$found"
}

# described: a JSON array of the releases here, in REPLY.
described() {
  local body='' release text mark
  while read -r release; do
    text=$(<"$releases/$release/.warpbeam/artifact.json") || text='{}'
    mark=new
    if marked "$release" failed; then mark=failed; fi
    if marked "$release" healthy; then mark=healthy; fi
    if marked "$release" withdrawn; then mark=withdrawn; fi
    object name "$release" mark "$mark" artifact: "$text"
    body+="${body:+,}$REPLY"
  done < <(complete_releases)
  REPLY="[$body]"
}

# healthy PORT PATH STATUS SECONDS: whether this host's own port answers so, once.
healthy() {
  local status
  # bash cannot bound its own connect(2).
  # shellcheck disable=SC2016 # expanded by the inner bash
  status=$(timeout "$4" bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: warpbeam\r\nConnection: close\r\n\r\n" "$2" >&3
    IFS=" " read -r _ status _ <&3 && echo "${status%%[!0-9]*}"' health "$1" "$2" 2>/dev/null </dev/null) || status=''
  health_said=${status:-no answer}
  [[ $status == "$3" ]]
}
