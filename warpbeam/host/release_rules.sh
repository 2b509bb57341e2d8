#!/bin/bash
# The rules about releases, links and marks below $root. The phases and the privileged helper contain this file.
#
# The deploy user owns $root: a link there may lead root anywhere. So this file reads links by their text alone, and
# touches files only by functions that each container defines: `plain FILE` (whether FILE is a readable regular file,
# and no link), `as_deploy COMMAND ...` (runs COMMAND as the deploy user) and `is_usable RELEASE` (whether the release
# is whole). Each container also defines `find_releases`, which sets `complete`: the releases there, oldest first.
#
# Parameters: root (the app's directory).
: "${root?}"

releases=$root/releases
# The mark of a release that was live, and its name in earlier versions of Warpbeam. The first one is written.
LIVE_MARKS=(was_live healthy)

# is_release NAME: whether NAME is a release's name; as a path it then stays in the directory. The pattern is that of
# `ReleaseName` in answer.py: one name that it refuses would make the whole answer of a host unusable.
is_release() {
  [[ $1 =~ ^[1-9][0-9]{3}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])([0-5][0-9]){2}Z$ ]]
}

# read_links: read the links, by their text alone: `live` (the slot that `current` names), `release_a` and `release_b`
# (the releases of the slots) and `live_release` (that of the live slot); each is empty where there is none.
read_links() {
  local line
  live='' release_a='' release_b='' live_release=''
  while IFS= read -r line; do
    case $line in
      current\ slots/[ab]) live=${line#* slots/} ;;
      a\ ../releases/*) if is_release "${line#* ../releases/}"; then release_a=${line##*/}; fi ;;
      b\ ../releases/*) if is_release "${line#* ../releases/}"; then release_b=${line##*/}; fi ;;
    esac
  done < <(exec find "$root/current" "$root/slots/a" "$root/slots/b" -maxdepth 0 -printf '%f %l\n' 2>/dev/null)
  if [[ $live == a ]]; then live_release=$release_a; elif [[ $live == b ]]; then live_release=$release_b; fi
}

# linked_release SLOT: the release to which the link of SLOT leads, in REPLY; call read_links before.
linked_release() { if [[ $1 == a ]]; then REPLY=$release_a; else REPLY=$release_b; fi; }

# point LINK TARGET: make LINK lead to TARGET, atomically (rename(2)). False where that is impossible (a full disk).
point() { as_deploy ln -sfn -- "$2" "$1.new" && as_deploy mv -fT -- "$1.new" "$1"; }

# marked RELEASE MARK: whether the release has the mark: failed (its last activation failed), withdrawn (it was rolled
# back from). Only a plain file is a mark.
marked() { [[ -n $1 ]] && plain "$releases/$1/.warpbeam/$2"; }

# was_live RELEASE: whether the release was live.
was_live() {
  local mark
  for mark in "${LIVE_MARKS[@]}"; do
    if marked "$1" "$mark"; then return 0; fi
  done
  return 1
}

# is_good RELEASE: whether a release may become live again without anybody naming it: it was live, was not rolled back
# from, and its last activation did not fail.
is_good() { was_live "$1" && ! marked "$1" withdrawn && ! marked "$1" failed && is_usable "$1"; }

# newest_good [BEFORE]: the newest good release of `complete` (before BEFORE, if given), in REPLY; empty where there is
# none.
newest_good() {
  local index release
  for ((index = ${#complete[@]} - 1; index >= 0; index--)); do
    release=${complete[index]}
    if (($#)) && [[ ! $release < $1 ]]; then continue; fi
    if is_good "$release"; then
      REPLY=$release
      return 0
    fi
  done
  REPLY=''
}

# previous_of RELEASE: the previous release, in REPLY: the newest good one of `complete` before RELEASE; empty where
# there is none, or where RELEASE is empty.
previous_of() {
  REPLY=''
  [[ -z $1 ]] || newest_good "$1"
}
