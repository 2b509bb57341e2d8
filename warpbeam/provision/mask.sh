#!/bin/bash
# Masks the secrets of environment files. warpbeam/provision/text_diff.py does the same with what setup would write;
# a test compares the two.

# masked FILE KEY NAME ...: the text of FILE, in REPLY, with a keyed digest in place of each value except those of
# NAMEs. A line that is neither a variable nor Warpbeam's own comment is hidden whole.
masked() {
  local file=$1 key=$2 line out='' value name digest
  shift 2
  while IFS= read -r -d '' line; do
    if [[ ! $line =~ ^([A-Za-z_][A-Za-z0-9_]*)= ]]; then
      if [[ -n $line && $line != *"Written by Warpbeam's setup." ]]; then line='(hidden)'; fi
      out+=$line$'\n'
      continue
    fi
    name=${BASH_REMATCH[1]}
    value=${line#*=}
    mask_one "$@"
  done < <(tr -d '\0' <"$file" | logical_lines)
  REPLY=$out
}

# logical_lines: print the lines of standard input, each ended by NUL; the lines of one value in double quotes count as
# one. This is awk, because a value may be a hundred thousand bytes in as many lines or backslashes, and bash would look
# at the whole value for each of them.
logical_lines() {
  awk '
    # Whether the text ends with a double quote that is not escaped.
    function ends(text,   last, slashes) {
      last = length(text)
      if (substr(text, last, 1) != "\"") return 0
      while (slashes < last - 1 && substr(text, last - 1 - slashes, 1) == "\\") slashes++
      return slashes % 2 == 0
    }
    BEGIN { ORS = "" }
    within { print "\n" $0 }
    !within {
      print $0
      value = $0
      sub(/^[A-Za-z_][A-Za-z0-9_]*=/, "", value)
      if (value == $0 || substr(value, 1, 1) != "\"") { printf "%c", 0; next }
      if (value == "\"") { within = 1; next }
    }
    { within = !ends($0); if (!within) printf "%c", 0 }
    END { if (within) printf "%c", 0 }'
}

# mask_one NAME ...: add `line` (`name`, `value`) to `out`, unmasked if `name` is one of NAMEs.
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
