#!/bin/bash
# Writes the signatures of complete releases beside them, where there is none or another one.
#
# Parameters: root (the app's directory), app (its name), token (ours, of the lock), lease (seconds), signatures (for
# each release its name, then the text of its signature).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${signatures[@]-}"

# write_signature RELEASE TEXT: writes the signature beside the release; true where that changed something.
write_signature() {
  local file=$releases/$1/.warpbeam/signature
  # A longer file is no signature.
  if text_of "$file" 16385 && [[ $REPLY == "$2" ]]; then return 1; fi
  # A directory in its place would take the new file in.
  if [[ -d $file && ! -L $file ]]; then remove "$file"; fi
  printf '%s' "$2" >"$file.new"
  mv -fT -- "$file.new" "$file"
}

main() {
  local index replaced=0
  still_ours "$lease"
  step sign
  find_releases
  for ((index = 0; index < ${#signatures[@]}; index += 2)); do
    [[ " ${complete[*]} " == *" ${signatures[index]} "* ]] || continue
    if write_signature "${signatures[index]}" "${signatures[index + 1]}"; then
      replaced=$((replaced + 1))
      sync -- "$releases/${signatures[index]}/.warpbeam/signature"
    fi
  done
  answer written: "$replaced"
}

main
