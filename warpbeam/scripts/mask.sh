#!/bin/bash
# Environment files without their secrets. warpbeam/provisioning/comparison.py does the same with what setup would write;
# a test holds the two together.

# masked FILE KEY NAME ...: the text of FILE, in REPLY, with a keyed digest in place of each value but those of NAMEs. What is
# neither a variable nor Warpbeam's own comment is hidden whole.
masked() {
  local file=$1 key=$2 line whole='' out='' value name digest
  shift 2
  while IFS= read -r line || [[ -n $line ]]; do
    line=$whole$line
    whole=''
    if [[ ! $line =~ ^([A-Za-z_][A-Za-z0-9_]*)= ]]; then
      if [[ -n $line && $line != *"Written by Warpbeam's setup." ]]; then line='(hidden)'; fi
      out+=$line$'\n'
      continue
    fi
    name=${BASH_REMATCH[1]}
    value=${line#*=}
    if [[ $value == \"* ]] && ! closed "$value"; then
      whole=$line$'\n'
      continue
    fi
    mask_one "$@"
  done < <(tr -d '\0' <"$file")
  if [[ -n $whole ]]; then
    line=${whole%$'\n'}
    name=${line%%=*} value=${line#*=}
    mask_one "$@"
  fi
  REPLY=$out
}

# Adds `line` (`name`, `value`) to `out`, whole where `name` is among the arguments.
mask_one() {
  local each
  for each; do
    [[ $each != "$name" ]] || {
      out+=$line$'\n'
      return 0
    }
  done
  digest=$(printf '%s\0%s\0%s' "$key" "$name" "$value" | sha256sum)
  out+="$name=(hidden, ${digest:0:8})"$'\n'
}

# closed VALUE: a value that begins with a double quote ends with one, and that is not escaped.
closed() {
  local body=${1%\"} slashes
  ((${#1} > 1)) && [[ $body != "$1" ]] || return 1
  slashes=${body##*[!\\]}
  ((${#slashes} % 2 == 0))
}
