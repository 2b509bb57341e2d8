#!/bin/bash
# The links below $ROOT, and the names of releases.

# read_links: reads the text of the links and follows none. `live` is the slot that `current` names, `linked` has the
# releases of the slots; each empty where there is none.
declare -A linked
read_links() {
  local line
  live='' linked=([a]='' [b]='')
  while IFS= read -r line; do
    if [[ $line =~ ^current\ slots/([ab])$ ]]; then live=${BASH_REMATCH[1]}; fi
    if [[ $line =~ ^([ab])\ \.\./releases/([0-9]{8}T[0-9]{6}Z)$ ]]; then
      linked[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
    fi
  done < <(exec find "$ROOT/current" "$ROOT/slots/a" "$ROOT/slots/b" -maxdepth 0 -printf '%f %l\n' 2>/dev/null)
}

is_release() { [[ $1 =~ ^[0-9]{8}T[0-9]{6}Z$ ]]; }
