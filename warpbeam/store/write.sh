#!/bin/bash
# Writes a file of a store from standard input: under another name first, and under its own when it is whole.
#
# Parameters: those of enter.sh, name (of the file), size (its bytes).
: "${name?}" "${size?}"

fail_to_write() {
  fail "$name could not be written in $directory: $(df -Ph . | awk 'END { print $4 }') free" \
    'make room there (`fab ENV artifacts.prune --store` removes old artifacts), and run the same command again'
}

main() {
  local new
  enter_store
  mkdir -p -- "$subdirectory" 2>/dev/null || true
  [[ -d $subdirectory && -w $subdirectory ]] ||
    refuse "$directory/$subdirectory is not writable by $(id -un)" 'see who owns it'
  cd -- "$subdirectory"
  new=$(mktemp -- ".$name.XXXXXXXX" 2>/dev/null) || fail_to_write
  # shellcheck disable=SC2064 # its value now
  trap "rm -f -- '$new'" EXIT
  head -c "$size" >"$new" 2>/dev/null || fail_to_write
  [[ $(stat -c %s -- "$new") == "$size" ]] || fail "$name did not arrive whole" 'run the same command again'
  chmod 640 -- "$new"
  sync -- "$new"
  mv -fT -- "$new" "$name"
  answer done: true
}

main
