#!/bin/bash
# Paths below $root, and functions that read what is there without being root.
#
# Parameters: root (the app's directory), app; release and base (names of releases, where the phase has them).
: "${root?}" "${app?}"

# A release's name may come from another host, so check it here too.
for name in "${release-}" "${base-}"; do
  [[ -z $name ]] || is_release "$name" || refuse 'expected a release such as 20261123T120000Z' 'nothing was done'
done

# The functions that release_rules.sh needs. A phase runs as the deploy user.
as_deploy() { "$@"; }
is_usable() { about "$1"; }

activating() { [[ $(exec systemctl is-active -- "$app-activate.service") == *activating ]]; }

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

# add_mark RELEASE MARK, remove_mark RELEASE MARK: see `marked`.
add_mark() {
  local file=$releases/$1/.warpbeam/$2
  # A mark must be a plain file: a link in its place would lead the write anywhere.
  if [[ -e $file || -L $file ]] && ! plain "$file"; then rm -rf -- "$file"; fi
  : >"$file"
}
remove_mark() { if marked "$1" "$2"; then rm -f -- "$releases/$1/.warpbeam/$2"; fi; }

# mark_live RELEASE, unmark_live RELEASE: see `was_live`.
mark_live() { add_mark "$1" "${LIVE_MARKS[0]}"; }
unmark_live() {
  local mark
  for mark in "${LIVE_MARKS[@]}"; do remove_mark "$1" "$mark"; done
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
    # `healthy` is a good release, by the rule of `is_good`.
    mark=new
    if was_live "$release"; then mark=healthy; fi
    if marked "$release" failed; then mark=failed; fi
    if marked "$release" withdrawn; then mark=withdrawn; fi
    object name "$release" mark "$mark" artifact: "$text"
    body+="${body:+,}$REPLY"
  done
  REPLY="[$body]"
}
