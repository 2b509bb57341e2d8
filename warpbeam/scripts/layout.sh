#!/bin/bash
# Where things are below $root, and what can be read from there without being root.
: "${root?}" "${app?}"

releases=$root/releases

# read_links: what the links say, by their text alone: the slot that `current` names in `live`, the releases of the slots in
# `release_a` and `release_b`, and that of the live slot in `live_release`; each empty where there is none.
read_links() {
  local name text
  live='' release_a='' release_b='' live_release=''
  while read -r name text; do
    case $name=$text in
      current=slots/[ab]) live=${text#slots/} ;;
      a=../releases/*) release_a=${text##*/} ;;
      b=../releases/*) release_b=${text##*/} ;;
    esac
  done < <(exec find "$root/current" "$root/slots/a" "$root/slots/b" -maxdepth 0 -printf '%f %l\n' 2>/dev/null)
  if [[ $live == a ]]; then live_release=$release_a; elif [[ $live == b ]]; then live_release=$release_b; fi
}

activating() { [[ $(exec systemctl is-active -- "$app-activate.service") == *activating ]]; }

# point LINK TARGET: LINK leads to TARGET from one moment to the next (rename(2)).
point() {
  ln -sfn -- "$2" "$1.new" && mv -fT -- "$1.new" "$1"
}

# find_releases: the complete ones, oldest first, in `complete`. Their names sort by time; a directory gets its name only when
# all of it is there.
find_releases() {
  local directory
  complete=()
  for directory in "$releases"/*Z; do
    if [[ -d $directory/.warpbeam ]]; then complete+=("${directory##*/}"); fi
  done
}

# marked RELEASE MARK: marks are healthy (has been live), failed, withdrawn (rolled back from).
marked() { [[ -e $releases/$1/.warpbeam/$2 ]]; }

# previous_of RELEASE: the newest of `complete` before it that has been live and was not rolled back from, in REPLY; empty: none.
previous_of() {
  local release
  REPLY=''
  for release in "${complete[@]}"; do
    [[ $release < $1 ]] || break
    if marked "$release" healthy && ! marked "$release" withdrawn; then REPLY=$release; fi
  done
}

# described: a JSON array of `complete`, in REPLY.
described() {
  local body='' release text mark
  for release in "${complete[@]}"; do
    read -r text <"$releases/$release/.warpbeam/artifact.json" || text='{}'
    mark=new
    if marked "$release" failed; then mark=failed; fi
    if marked "$release" healthy; then mark=healthy; fi
    if marked "$release" withdrawn; then mark=withdrawn; fi
    object name "$release" mark "$mark" artifact: "$text"
    body+="${body:+,}$REPLY"
  done
  REPLY="[$body]"
}

# healthy PORT PATH STATUS SECONDS: whether this host's own port answers so, once.
healthy() {
  local status=''
  # bash cannot bound its own connect(2), so a process of its own does it. No program is run for that: it is asked several times
  # a second.
  read -r -t "$4" status < <(ask "$1" "$2" 2>/dev/null) || kill "$!" 2>/dev/null || true
  health_said=${status:-no answer}
  [[ $status == "$3" ]]
}

# ask PORT PATH: prints the status of the answer, where there is one. Run in a process of its own.
ask() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: warpbeam\r\nConnection: close\r\n\r\n' "$2" >&3
  # An app may begin a line and never end it.
  IFS=' ' read -r -n 4096 _ status _ <&3 && status=${status%%[!0-9]*} && echo "${status:0:4}"
}
