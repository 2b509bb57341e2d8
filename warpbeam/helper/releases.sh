#!/bin/bash
# The functions that host/release_rules.sh needs, as the deploy user: `as_deploy` is in user.sh.

# plain FILE: whether FILE is a readable regular file, and no link; for files of the deploy user.
plain() { as_deploy test -f "$1" -a ! -L "$1" -a -r "$1"; }

# is_usable RELEASE: whether the release is complete: its manifest is there. With admission, only admitted ones can run.
is_usable() { marked "$1" manifest && [[ $ADMISSION == no || (-d $ADMITTED/$1 && ! -L $ADMITTED/$1) ]]; }

# find_releases: the newest thousand releases, oldest first, in `complete`.
find_releases() {
  local name
  complete=()
  while IFS= read -r name; do
    if is_release "$name"; then complete+=("$name"); fi
  done < <(as_deploy ls -- "$releases" 2>/dev/null | tail -n 1000)
}
