#!/bin/bash
# Packs a release, and describes its files for the manifest. `out` is its directory; the working directory becomes that.

# pack_release: makes the tarball of the release, whose path is in `tarball`, and puts the empty directories into
# `directories`.
pack_release() {
  local digest
  tarball=$build/$key.tar.gz
  # The app's group must be able to read every file, whatever umask the build had.
  chmod -R u+rwX,go+rX,go-w -- "$out"
  cd -- "$out"
  mapfile -d '' -t directories < <(find . -mindepth 1 -type d -empty -printf '%P\0' | sort -z)
  # The same source gives the same bytes: names are sorted, there is no owner. Another source gives another time
  # (between 2000 and 2008), since a web server makes the ETag of a file from its size and time. The tarball has no
  # directories: a host makes its own, and tar would remove their set-group-ID bit.
  digest=$(printf '%s\0' "$tree" "${directories[@]}" | sha256sum)
  find . \( -type f -o -type l \) -printf '%P\0' | sort -z |
    tar -c --format=gnu --hard-dereference --null --verbatim-files-from --files-from=- \
      --owner=0 --group=0 --numeric-owner --mtime="@$((946684800 + 16#${digest:0:7}))" | gzip -n >"$tarball.new"
  mv -f -- "$tarball.new" "$tarball"
}

# files_of_release: puts a JSON array with an entry for each file and link into REPLY.
files_of_release() {
  local entry mode size path path_text files=''
  local -A sums=()
  while IFS= read -r -d '' entry; do
    sums[${entry#*  ./}]=${entry%% *}
  done < <(find . -type f -print0 | xargs -0 sha256sum -z --)
  while IFS= read -r -d '' entry; do
    IFS=/ read -r mode size path <<<"$entry"
    quoted "$path"
    path_text=$REPLY
    if [[ -L $path ]]; then
      quoted "$(readlink -- "$path")"
      files+="${files:+,}[$path_text,\"777\",0,\"\",$REPLY]"
    else
      files+="${files:+,}[$path_text,\"$mode\",$size,\"${sums[$path]}\"]"
    fi
  done < <(
    find . \( -type f -o -type l \) -printf '%m/%s/%P\0' | sort -z -t / -k 3
  )
  REPLY="[$files]"
}
