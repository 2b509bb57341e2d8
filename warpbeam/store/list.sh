#!/bin/bash
# Answers with the files of a store: their names, sizes, and the times when they were written.
#
# Parameters: those of enter.sh.

main() {
  local name size changed body=''
  enter_store
  if [[ -d $subdirectory ]]; then
    while IFS=/ read -r -d '' size changed name; do
      quoted "$name"
      body+="${body:+,}{\"name\":$REPLY,\"size\":$size,\"changed\":${changed%%.*}}"
    done < <(exec find "$subdirectory/" -mindepth 1 -maxdepth 1 -type f ! -name '.*' ! -name '*[^a-z0-9.-]*' \
      -printf '%s/%T@/%f\0')
  fi
  answer files: "[$body]"
}

main
