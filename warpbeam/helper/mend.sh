#!/bin/bash
# Repairs `current` when it leads to no release.

# whole RELEASE [MARK]: succeeds if the release is there, complete, and has the mark. Only a plain file is a mark.
whole() {
  local file=$ROOT/releases/$1/.warpbeam/${2:-manifest}
  [[ -n $1 ]] && as_deploy test -f "$file" -a ! -L "$file"
}

# point LINK TARGET: sets a link by one rename, as the deploy user. Fails where that is impossible (a full disk).
point() {
  as_deploy ln -sfn -- "$2" "$ROOT/$1.new" && as_deploy mv -fT -- "$ROOT/$1.new" "$ROOT/$1" || return 1
  printf 'warpbeam-helper: %s/%s led nowhere; it leads to %s again\n' "$ROOT" "$1" "$2" >&2
}

# mend_current: repairs `current` when it leads to no release (a link removed or changed by hand, a release deleted). It
# leads to the running slot; else to the newer slot whose release was live; else to the newest such release, as a
# rollback would. Sets `live`.
mend_current() {
  local slot release pid best='' rank='' runs=no
  read_links
  if [[ -n $live ]] && whole "${linked[$live]}"; then return 0; fi
  for slot in a b; do
    # A failed check does not mean that a release is gone.
    [[ $hindered == no ]] || return 1
    release=${linked[$slot]}
    pid=$(property "$APP@$slot.service" MainPID)
    if ((pid > 0)); then
      runs=yes
      if ! whole "$release"; then
        started_in "$pid"
        release=$REPLY
        whole "$release" || continue
        point "slots/$slot" "../releases/$release" || return 1
      fi
    fi
    whole "$release" healthy || continue
    if [[ "$((pid > 0)) $release" > $rank ]]; then best=$slot rank="$((pid > 0)) $release"; fi
  done
  if [[ -z $best && $runs == no ]]; then
    for release in $(as_deploy ls -r -- "$ROOT/releases" 2>/dev/null | head -n 1000); do
      [[ $hindered == no ]] || return 1
      if ! is_release "$release" || ! whole "$release" healthy; then continue; fi
      if whole "$release" withdrawn || whole "$release" failed; then continue; fi
      best=${live:-a}
      point "slots/$best" "../releases/$release" || return 1
      break
    done
  fi
  [[ -n $best && $best != "$live" ]] || return 0
  point current "slots/$best" || return 1
  read_links
}
