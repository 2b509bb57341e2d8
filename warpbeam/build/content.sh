#!/bin/bash
# Checks what a release holds.

# check_content: refuses what no release may hold. The rules are those of warpbeam/build/content.py, which checks the
# artifact again where it arrives; the check here can name up to 20 faults at once. Names are quoted by bash, so they
# print as plain ASCII.
check_content() {
  local real entry target kind mode path resolved odd=()
  real=$(realpath -- "$out")
  while IFS= read -r -d '' entry && IFS= read -r -d '' target; do
    kind=${entry%%/*} mode=${entry#*/}
    path=${mode#*/} mode=${mode%%/*}
    if [[ ${path,,} == .warpbeam ]]; then odd+=("${path@Q} has a name that is Warpbeam's own"); fi
    case $kind in
      f)
        if (((8#$mode & 8#7000) != 0)); then
          odd+=("${path@Q} has mode $mode: no file of a release is run as another user")
        fi
        ;;
      # On a host every directory of a release belongs to the deploy user and is readable for the app: a set-user-ID or
      # sticky bit would be lost.
      d)
        if (((8#$mode & 8#5000) != 0)); then
          odd+=("${path@Q} is a directory of mode $mode: a host has none such in a release")
        fi
        ;;
      l)
        resolved=$(realpath -m -- "$out/$path")
        if [[ $target == /* || $resolved/ != "$real"/* ]]; then
          odd+=("${path@Q} is a link to ${target@Q}, which is outside of the release")
        fi
        ;;
      *) odd+=("${path@Q} is neither a file, a link nor a directory") ;;
    esac
  done < <(find "$out" -mindepth 1 -printf '%y/%m/%P\0%l\0')
  while IFS= read -r -d '' path; do
    odd+=("${path@Q} has a control character in its name, or is not UTF-8")
  done < <(find "$out" -mindepth 1 -printf '%P\0' | LC_ALL=C.UTF-8 grep -zavx '[^[:cntrl:]]*' || true)
  if ((${#odd[@]})); then
    fail 'the release holds what no release may hold' \
      'the lines above name it: take it out of the app, or out of rel/overlays' "${odd[@]:0:20}"
  fi
}
