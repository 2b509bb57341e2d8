#!/bin/bash
# Paths below $root, and functions that read what is there without being root.
#
# Parameters: root (the app's directory), app; release and base (names of releases, where the phase has them).
: "${root?}" "${app?}"

releases=$root/releases

# is_release NAME: whether NAME is a release's name; as a path it then stays in the directory.
is_release() { [[ $1 =~ ^[0-9]{8}T[0-9]{6}Z$ ]]; }

# A release's name may come from another host, so check it here too.
for name in "${release-}" "${base-}"; do
  [[ -z $name ]] || is_release "$name" || refuse 'expected a release such as 20261123T120000Z' 'nothing was done'
done

# read_links: read the links, by their text alone: `live` (the slot that `current` names), `release_a` and `release_b`
# (the releases of the slots) and `live_release` (that of the live slot); each is empty where there is none.
read_links() {
  local name text
  live='' release_a='' release_b='' live_release=''
  while read -r name text; do
    case $name=$text in
      current=slots/[ab]) live=${text#slots/} ;;
      a=../releases/*) if is_release "${text#../releases/}"; then release_a=${text##*/}; fi ;;
      b=../releases/*) if is_release "${text#../releases/}"; then release_b=${text##*/}; fi ;;
    esac
  done < <(exec find "$root/current" "$root/slots/a" "$root/slots/b" -maxdepth 0 -printf '%f %l\n' 2>/dev/null)
  if [[ $live == a ]]; then live_release=$release_a; elif [[ $live == b ]]; then live_release=$release_b; fi
}

activating() { [[ $(exec systemctl is-active -- "$app-activate.service") == *activating ]]; }

# point LINK TARGET: make LINK lead to TARGET, atomically (rename(2)).
point() {
  ln -sfn -- "$2" "$1.new" && mv -fT -- "$1.new" "$1"
}

# find_releases: the complete releases, oldest first, in `complete`. Their names sort by time; a directory gets its name
# only when it is complete.
find_releases() {
  local directory
  complete=()
  for directory in "$releases"/*Z; do
    if [[ -d $directory/.warpbeam && ! -L $directory/.warpbeam ]] && is_release "${directory##*/}"; then
      complete+=("${directory##*/}")
    fi
  done
}

# about RELEASE: the release's description, in REPLY: JSON of `About` in warpbeam/host/facts.py. False where it is not
# valid. Every byte is checked here, because the description becomes part of a larger JSON text, which must fit a type.
# (A regular expression would take ten times as long.)
about() {
  local text bare parts
  text_of "$releases/$1/.warpbeam/artifact.json" 32768 && [[ $REPLY == *$'\n' ]] || return 1
  text=${REPLY%$'\n'}
  # Without escape sequences, no text in it has a quote.
  bare=${text//\\\\/}
  bare=${bare//\\[\"\/bfnrt]/}
  bare=${bare//\\u00[0-9a-f][0-9a-f]/}
  [[ $bare != *[$'\001'-$'\037'\\]* ]] || return 1
  IFS=\" read -r -a parts <<<"$bare"
  # Descriptions of an older Warpbeam (23 parts) do not have the release's name.
  ((${#parts[@]} == 23 || ${#parts[@]} == 27)) || return 1
  [[ ${parts[3]} == [0-9A-Za-z]* && ${parts[3]} != *[!0-9A-Za-z.+_~-]* &&
    "${parts[7]}${parts[15]}${parts[19]}" != *[!0-9a-f]* ]] || return 1
  [[ ${parts[25]-} != *[!a-z0-9_]* ]] || return 1
  # Compare the rest, without the values, with each quote in its place.
  parts[3]='' parts[7]='' parts[11]='' parts[15]='' parts[19]='' parts[25]=''
  local IFS=\"
  bare="${parts[*]}"
  [[ $bare == \
    '{"version":"","commit":"","subject":"","tree":"","sha256":"","dirty":'@(true|false)@('}"'|',"release":""}') ]] ||
    return 1
  REPLY=$text
}

# remove PATH ...: remove, even where a directory denies its owner access, which `rm -rf` does not overcome.
remove() { rm -rf -- "$@" 2>/dev/null || { chmod -R u+rwX -- "$@" 2>/dev/null || true; rm -rf -- "$@"; }; }

# marked RELEASE MARK: whether the release has the mark: healthy (was live), failed, withdrawn (rolled back from).
marked() { plain "$releases/$1/.warpbeam/$2"; }

# previous_of RELEASE: the previous release, in REPLY: the newest of `complete` before RELEASE that was live and was not
# rolled back from; empty where there is none.
previous_of() {
  local release previous=''
  for release in "${complete[@]}"; do
    [[ $release < $1 ]] || break
    if marked "$release" healthy && ! marked "$release" withdrawn && about "$release"; then previous=$release; fi
  done
  REPLY=$previous
}

# described: a JSON array of the releases in `complete`, in REPLY. A release without a valid description counts as
# failed, and a warning names it.
described() {
  local body='' release text mark
  for release in "${complete[@]}"; do
    if ! about "$release"; then
      warn "$release: what it is cannot be read from $releases/$release/.warpbeam/artifact.json: it counts as failed"
      object name "$release" mark failed artifact: '{}'
      body+="${body:+,}$REPLY"
      continue
    fi
    text=$REPLY
    mark=new
    if marked "$release" failed; then mark=failed; fi
    if marked "$release" healthy; then mark=healthy; fi
    if marked "$release" withdrawn; then mark=withdrawn; fi
    object name "$release" mark "$mark" artifact: "$text"
    body+="${body:+,}$REPLY"
  done
  REPLY="[$body]"
}
