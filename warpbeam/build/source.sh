#!/bin/bash
# Makes the source of a build from what came to this host, and keeps of the last build what the next one can use.
# `build` is the directory of the build, `src` its source, `new` the source that came. The app is at $place in both.

# unpack_source: puts the source that came, from standard input or by rsync, into $new. Of a working tree, standard
# input has the submodules alone.
unpack_source() {
  local path
  rm -rf -- "$new"
  mkdir -p -- "$src" "$new"
  if [[ -n $carried ]]; then
    # The times of a working tree are not kept, as those of a commit are not (see renew). Only $places: an earlier rsync
    # may have left other files there.
    for path in "${places[@]}"; do
      mkdir -p -- "$(dirname -- "$new/$path")"
      cp -r --no-dereference --preserve=mode -T -- "$build/$carried/$path" "$new/$path"
    done
    keep_copy
    # Keep what a commit would keep: no pipes, no empty directories, and of the modes only the owner's execute bit.
    find "$new" -mindepth 1 \( ! -type f ! -type l ! -type d -o -type d -empty \) -delete
    find "$new" \( -type d -o -type f -perm -u+x \) -exec chmod 750 -- {} + -o -type f -exec chmod 640 -- {} +
  fi
  # Several streams may follow one another: the repository and its submodules.
  tar -x --touch --ignore-zeros --strip-components="$strip" --no-same-owner -C "$new"
}

# keep_copy: leaves what rsync has brought for the next one to begin with. Another build may take it at any moment, so
# it is moved and never removed in its place.
keep_copy() {
  local old=$build/carried.old
  rm -rf -- "$old"
  mv -T -- "$build/carried" "$old" 2>/dev/null || true
  mv -T -- "$build/$carried" "$build/carried"
  rm -rf -- "$old"
}

# sums: prints `SHA256  PATH` of each path in `same`, below the working directory, sorted.
sums() { printf '%s\0' "${same[@]}" | xargs -0r sha256sum -z -- | sort -z; }

# linked: hard-links each of the paths on standard input from the old source into the new one.
linked() { xargs -0r cp --link --parents --no-dereference --remove-destination -t "$new" --; }

# renew: makes the source exactly what lies in $new. An unchanged file keeps its time, or Mix would compile again what
# depends on the file. A changed file gets the time of this build: with the commit's time, Mix would not compile a
# change that was committed before the last build and leaves the file's size as it was.
renew() {
  local file text toolchain
  local -a same=()
  (cd -- "$new" && find . ! -type d -printf '%P\0' | sort -z) >"$build/tracked.new"
  # Files that git had at the last build and has no more: they may lie below a path that stays.
  if [[ -e $build/tracked ]]; then comm -z -23 -- "$build/tracked" "$build/tracked.new" | xargs -0r rm -rf --; fi
  mv -f -- "$build/tracked.new" "$build/tracked"
  while IFS= read -r -d '' file; do
    [[ -f $file && ! -L $file && -f $new/$file && ! -L $new/$file ]] || continue
    if [[ -x $file ]]; then [[ -x $new/$file ]] || continue; elif [[ -x $new/$file ]]; then continue; fi
    same+=("$file")
  done <"$build/tracked"
  if ((${#same[@]})); then comm -z -12 -- <(sums) <(cd -- "$new" && sums) | cut -z -c 67- | linked; fi
  toolchain_id; toolchain=$REPLY
  if [[ $anew != true ]]; then
    swap_caches "$toolchain"
    keep_built
  fi
  cd -- "$build"
  rm -rf -- "$src.old"
  mv -T -- "$src" "$src.old" && mv -T -- "$new" "$src"
  rm -rf -- "$src.old"
  cd -- "$src"
  # Other tools or variables may compile to another result. New times make Mix look at every file; Mix then compares
  # digests.
  text="$mix_env $tools $elixir $otp ${variables[*]}"
  if [[ ! -e $build/how || $(<"$build/how") != "$text" ]]; then xargs -0r touch -h -- <"$build/tracked"; fi
  printf '%s\n' "$text" >"$build/how"
  printf '%s\n' "$toolchain" >"$build/toolchain"
}

# toolchain_id: puts a name for what decides whether compiled files and libraries load into REPLY.
toolchain_id() {
  local system
  system=$(grep -E '^(ID|VERSION_ID)=' /etc/os-release) || true
  REPLY=$(printf '%s\n' "$elixir" "$otp" "$(uname -m)" "$system" | sha256sum | head -c 16)
}

# swap_caches ID: puts what another toolchain has made aside, and takes back what toolchain ID has made before. Those of
# two others are kept.
swap_caches() {
  local before mine=$build/caches/$1 aside path
  before=$(cat -- "$build/toolchain" 2>/dev/null) || before=$1
  [[ $before != "$1" && -d $src/$place ]] || return 0
  aside=$build/caches/$before
  rm -rf -- "$aside"
  mkdir -p -- "$aside/deps"
  cd -- "$src/$place"
  if [[ -d _build && ! -L _build ]]; then mv -T -- _build "$aside/_build"; fi
  for path in deps/*; do
    if [[ -e $path/.hex || -e $path/.git ]]; then mv -- "$path" "$aside/deps/"; fi
  done
  if [[ -d $mine ]]; then
    if [[ -d $mine/_build ]]; then mv -T -- "$mine/_build" _build; fi
    mkdir -p -- deps
    find "$mine/deps" -mindepth 1 -maxdepth 1 -exec mv -t deps -- {} +
    rm -rf -- "$mine"
  fi
  find "$build/caches" -mindepth 1 -maxdepth 1 -printf '%T@ %p\0' | sort -z -r -n | tail -z -n +3 |
    cut -z -d ' ' -f 2- | xargs -0r rm -rf --
}

# keep_built: takes what the last build has made and fetched from the old source into the new one.
keep_built() {
  local new=$new/$place path file pattern text
  [[ -d $src/$place ]] || return 0
  cd -- "$src/$place"
  stay _build
  # In deps, only what Mix fetched stays: a package has .hex, a repository .git. Anything else there comes from the
  # commit, or is a leftover.
  for path in deps/*; do
    if [[ -e $path/.hex || -e $path/.git ]]; then stay "$path"; fi
  done
  for pattern in "${keep[@]}"; do
    # shellcheck disable=SC2231 # a pattern
    for path in $pattern; do stay "$path"; done
  done
  # mix.exs may read the version from another file. Mix writes APP.app again only when mix.exs has changed or APP.app is
  # missing, so remove it: otherwise the app would keep its old version.
  text=$(cat -- "$new/mix.exs" "$new"/apps/*/mix.exs 2>/dev/null) || true
  for path in "$new/_build/$mix_env"/lib/*; do
    file=${path##*/}
    if [[ $text =~ app:[[:space:]]*:"$file"[^a-z0-9_] ]]; then rm -f -- "$path/ebin/$file.app"; fi
  done
}

# stay PATH: takes PATH from the old source into the new one, except files that the commit has.
stay() {
  local path=$1 file
  [[ -e $path && ! -L $path ]] || return 0
  if [[ ! -e $new/$path && ! -L $new/$path ]]; then
    mkdir -p -- "$(dirname -- "$new/$path")"
    mv -T -- "$path" "$new/$path"
  elif [[ -d $path && -d $new/$path ]]; then
    while IFS= read -r -d '' file; do
      [[ -e $new/$file || -L $new/$file ]] || printf '%s\0' "$file"
    done < <(find "$path" ! -type d -print0) | linked
  fi
}
