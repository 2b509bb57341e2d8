#!/bin/bash
# Removes files of a store, and what interrupted writes left behind a day ago or longer.
#
# Parameters: those of enter.sh, names (of the files).
: "${names[@]-}"

main() {
  enter_store
  if [[ -d $subdirectory ]]; then
    cd -- "$subdirectory"
    if ((${#names[@]})); then rm -f -- "${names[@]}"; fi
    find . -maxdepth 1 -type f -name '.*.*' -mmin +1440 -delete
  fi
  answer done: true
}

main
