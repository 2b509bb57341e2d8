#!/bin/bash
# The record of releases, in $RECORD: the content that each release had when it was put live.
#
# It has lines `RELEASE SHA256`, for everybody to read. Only root can write them, and the first line about a release
# counts: later changes of a release and its manifest cannot change it.
#
# The deploy user chooses the names of releases, and can move releases away. So when there are too many lines, the lines
# left out are replaced by one line `forgotten RELEASE`: a release of that name or an older one is then not trusted
# without a line of its own.
readonly MOST_LINES=1000
# A release that is gone keeps its line while its name is up to so many seconds ahead: it may be from a clock ahead of
# ours. A later one is dropped, and others of its name are trusted: otherwise such names would keep out new releases.
readonly AHEAD=3600

# recall RELEASE: succeeds if it has a line, with the digest in REPLY. Else sets `total` (number of lines), `forgotten`.
recall() {
  local name sum
  total=0 forgotten='' REPLY=''
  [[ -e $RECORD ]] || return 1
  while read -r name sum; do
    if [[ $name == "$1" ]]; then
      REPLY=$sum
      return 0
    fi
    if [[ $name == forgotten ]]; then forgotten=$sum; elif [[ -n $name ]]; then total=$((total + 1)); fi
  done <"$RECORD"
  return 1
}

# shorten: drops lines of releases that are gone, except AHEAD; counts those in `gone`, and all lines in `total`.
shorten() {
  local name sum now latest lines=''
  TZ=UTC printf -v now '%(%Y%m%dT%H%M%SZ)T' -1
  printf -v latest '%(%s)T' -1
  TZ=UTC printf -v latest '%(%Y%m%dT%H%M%SZ)T' "$((latest + AHEAD))"
  total=0 gone=0
  while read -r name sum; do
    if [[ -z $name || $name == forgotten ]]; then
      continue
    elif [[ -d $root/releases/$name ]]; then
      total=$((total + 1)) lines+="$name $sum"$'\n'
    elif [[ $name > $now && $name < $latest ]]; then
      total=$((total + 1)) gone=$((gone + 1)) lines+="$name $sum"$'\n'
    elif [[ ! $name > $now && $name > $forgotten ]]; then
      forgotten=$name
    fi
  done <"$RECORD"
  (umask 022 && printf 'forgotten %s\n%s' "$forgotten" "$lines" >"$RECORD.new") && mv -f -- "$RECORD.new" "$RECORD"
}

# remember RELEASE SHA256: adds a line, unless there is one. Fails where the line has another digest.
remember() {
  local total forgotten gone=0 cure="\`deploy --force\` gives it a new name" \
    why="says that $1 had another content when it was put live"
  if ! recall "$1"; then
    # Under a lock, so that no line is lost between reading and writing. Print nothing meanwhile: a caller that does not
    # read would hold the lock.
    exec 5>>"$RECORD.lock"
    flock -w 10 5 || cannot 'another activation has not begun within 10 s'
    if ! recall "$1"; then
      # A full disk must not end an activation. A crash may have cut the last line short, so a new one begins.
      if ((total >= MOST_LINES)); then shorten 2>/dev/null || true; fi
      if [[ -n $forgotten && ! $1 > $forgotten ]]; then
        why="does not say any more which content $1 had when it was put live"
      elif [[ ! -d $root/releases/$1 ]]; then
        why="takes no line about it" cure="there is no release $1"
      elif ((total >= MOST_LINES && gone > 0)); then
        why="has $gone lines of releases that are gone, named by somebody ahead of this host's clock"
        cure="as root, remove $RECORD, then run the same command again"
      elif ((total >= MOST_LINES)); then
        why="has $total lines of releases that are all in $root/releases"
        cure="remove old ones there, then run the same command again"
      else
        (umask 022 && printf '\n%s %s\n' "$1" "$2" >>"$RECORD") 2>/dev/null || true
        REPLY=$2
      fi
    fi
    exec 5>&-
  fi
  [[ $REPLY == "$2" ]] || cannot "$RECORD $why: $cure"
}
