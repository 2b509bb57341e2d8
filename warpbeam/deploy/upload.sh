#!/bin/bash
# Makes a complete release of files that the host has (hard links) and files on standard input (a gzip'd tar stream).
#
# Parameters: root (the app's directory), app (its name), token (ours, of the lock), lease (seconds), release (to make),
# base (release to link from, or empty), artifact (JSON about it), group (the app's, which must be able to read the
# release), runtime (the kind of the release and its own name, a line each), links (for each symbolic link its path,
# then its target), directories (those with nothing in them), signature (of the release, or empty), that of suspect.sh.
: "${root?}" "${app?}" "${token?}" "${lease?}" "${release?}" "${base?}" "${artifact?}" "${group?}" "${runtime?}"
: "${links[@]-}" "${directories[@]-}" "${signature?}"

still_ours "$lease"
partial=$releases/$release.partial
# Our metadata is written where nothing of the artifact can be, and is moved into the release once all is verified.
metadata=$releases/$release.warpbeam.partial
manifest=$root/activation/manifest
trap '[[ ! -e $partial && ! -e $metadata ]] || remove "$partial" "$metadata"' EXIT
trap 'exit 143' TERM INT HUP
[[ ! -e $releases/$release ]] || refuse "$releases/$release exists already" 'run the same command again'

step link
# The manifest's lines are `MODE SHA256  PATH`. Read them once, for four lists: the directories, the files that the base
# has, all files, and the lines that openssl will print.
lists=$root/activation/lists
if [[ -e $partial || -e $metadata ]]; then remove "$partial" "$metadata"; fi
# Made anew, never emptied: somebody may hold a descriptor of an old list, and would choose what is linked.
rm -rf -- "$lists" "$root/activation/damaged"
mkdir -p -- "$lists" "$partial" "$metadata"
# The launcher reads this as the app: so it is written while its directory gives on the app's group.
printf '%s' "$runtime" >"$metadata/runtime"
linked=/dev/null
if [[ -n $base ]] && plain "$releases/$base/.warpbeam/manifest"; then linked=$releases/$base/.warpbeam/manifest; fi
# awk prints the number of files, and of those that can be run; or a path that no release may have.
expected=$(ulimit -v 2000000 -t 20; exec awk -v files="$lists/files" -v sums="$lists/sums" -v linked="$lists/linked" \
  -v directories="$lists/directories" -v kept="$metadata/manifest" '
  BEGIN { printf "" >files; printf "" >sums; printf "" >linked; printf "" >directories; printf "" >kept }
  there { has[$0]; next }
  {
    path = substr($0, length($1) + length($2) + 4)
    if (path ~ /(^|\/)\.?\.?(\/|$)/ || tolower(path) ~ /^\.warpbeam(\/|$)/) { odd = path; exit }
    print >kept
    if (substr($1, length($1) - 2, 1) % 2) runnable++
    print "./" path >files
    print $2 " *./" path >sums
    if ($0 in has) print path >linked
    names = split(path, name, "/")
    directory = substr(path, 1, length(path) - length(name[names]) - 1)
    if (names > 1 && !(directory in made)) { made[directory]; print directory >directories }
  }
  END {
    if (odd != "") print "odd " odd
    else if (close(kept) != 0) exit 1
    else print FNR, runnable + 0
  }' there=1 "$linked" there=0 "$manifest")
[[ $expected != odd* ]] ||
  fail "the manifest of the new release has ${expected#odd }, which no release may have" 'build it again'
# mkdir makes the directories: tar and cp would take away the set-group-ID bit, by which the app's group reads all this.
cd -- "$partial"
for path in "${directories[@]}"; do
  [[ ! $path =~ (^|/)\.?\.?(/|$) && ${path,,} != .warpbeam && ${path,,} != .warpbeam/* ]] ||
    fail "the manifest of the new release has ${path@Q}, which no release may have" 'build it again'
  printf '%s\n' "$path" >>"$lists/directories"
done
xargs -r -d '\n' -a "$lists/directories" mkdir -p --
if [[ -n $base ]]; then
  # A key may have been removed since the claim.
  if is_suspect "$base"; then
    fail_kind=damaged fail "$base was there when a deploy key was removed" \
      'nothing was switched; run the same command again'
  fi
  (
    cd -- "$releases/$base" &&
      exec xargs -r -d '\n' -a "$lists/linked" cp --link --parents --target-directory="$partial" --
  ) 2>"$lists/missing" || {
    mapfile -t missing < <(head -n 10 -- "$lists/missing")
    fail_kind=damaged fail "not all files of $base could be linked" \
      'is there room, and an inode, on the disk?' "${missing[@]}"
  }
fi

step receive
# tar replaces a file by unlinking it first, so the other names of a hard link keep their content. GNU tar makes a link
# that leads out of here when all else is there, so that nothing is written through one.
tar -xz --no-same-owner --no-same-permissions 2>"$lists/tar" || {
  mapfile -t lines < <(head -n 10 -- "$lists/tar")
  fail 'the upload could not be unpacked (is the disk full?)' "$(df -h -- "$releases" | tail -n 1)" "${lines[@]}"
}

step verify
# Verify every file, linked ones too: a disk can have damaged them since. openssl, where there is one, is five times as
# fast (it uses the processor's own instructions); sha256sum names the files that differ.
verified() {
  command -v openssl >/dev/null || return 1
  cmp -s -- "$lists/sums" <(exec xargs -r -d '\n' -a "$lists/files" openssl dgst -sha256 -r 2>/dev/null)
}
verified || {
  cut -d ' ' -f 2- -- "$manifest" | sha256sum --check --quiet --strict >"$root/activation/damaged" 2>&1 || {
    mapfile -t damaged < <(head -n 10 -- "$root/activation/damaged")
    fail_kind=damaged fail 'files of the new release are damaged or missing' \
      'nothing was switched; run the same command again' "${damaged[@]}"
  }
}
# One look at all that lies here prints an `x` for each file that can be run, an `f` for each other file, an `l` for
# each link, an `e` for each empty directory; or, in a line of its own, something that may not be there. Every name in
# the manifest is verified above, so equal numbers prove that there is no other name. (A directory of another name is
# empty, or holds a file or a link of another name.)
# By now directories have given the group on, and lose the set-group-ID bit: the app could not copy them (`cp -r`),
# because RestrictSUIDSGID= lets it make no such directory.
looked=$(exec find . -mindepth 1 \( \
  \( ! -type f ! -type d ! -type l -o ! -uid "$EUID" -o ! -type l -perm /5022 -o -type f -perm /2000 \
  -o -name '*[[:cntrl:]]*' -o -path ./.warpbeam \) -printf '\nodd %P' -quit \
  -o -type l -printf l \
  -o \( ! -group "$group" -o ! -perm -g+r -o -type d ! -perm -g+x \) -printf '\nclosed %P' -quit \
  -o -type f -perm -u+x -printf x -o -type f -printf f \
  -o -type d \( ! -empty -o -printf e \) -exec chmod g-s -- . "$metadata" {} + \)) || true
case $looked in
  *$'\n'odd\ *)
    odd=${looked#*$'\n'odd }
    fail_kind=damaged fail \
      "the new release holds ${odd@Q}, which is not in its manifest, or not as a release may hold it" \
      'nothing was switched; build it again if it stays'
    ;;
  *$'\n'closed\ *)
    fail_kind=damaged fail "the app user could not read ${looked#*$'\n'closed } of the new release" \
      'run setup, then the same command again'
    ;;
esac
of_links=${looked//[!l]} of_runnable=${looked//[!x]} of_empty=${looked//[!e]}
# unexpected: prints the paths of files, links and empty directories that only the manifest has, or only the release.
unexpected() {
  local -A has=()
  local path path_text index
  while IFS= read -r path; do has[$path]=missing; done <"$lists/files"
  for ((index = 0; index < ${#links[@]}; index += 2)); do has[./${links[index]}]=missing; done
  for path in "${directories[@]}"; do has[./$path]=missing; done
  while IFS= read -r -d '' path; do
    if [[ -n ${has[$path]-} ]]; then has[$path]=''; else has[$path]='not in the manifest'; fi
  done < <(find . \( ! -type d -o -empty \) -print0)
  for path in "${!has[@]}"; do
    if [[ -n ${has[$path]} ]]; then path_text=${path#./}; printf '%s: %s\n' "${path_text@Q}" "${has[$path]}"; fi
  done
}
others=0
for path in "${directories[@]}"; do
  # A link to a directory is no directory of the release: what is below it lies elsewhere.
  [[ -d $path && ! -L $path ]] || others=1
done
if [[ "$((${#looked} - ${#of_links} - ${#of_empty})) ${#of_runnable}" != "$expected" ]] ||
  ((${#of_links} * 2 != ${#links[@]} || ${#of_empty} != ${#directories[@]} || others)); then
  mapfile -t odd < <(unexpected | sort | head -n 10)
  fail_kind=damaged fail 'the new release is not what its manifest says' \
    'nothing was switched; build it again if it stays' "${odd[@]}"
fi
if ((${#links[@]})); then
  declare -A leads=()
  for ((index = 0; index < ${#links[@]}; index += 2)); do leads[${links[index]}]=${links[index + 1]}; done
  while IFS= read -r -d '' path && IFS= read -r -d '' target; do
    [[ ${leads[$path]-} == "$target" ]] ||
      fail_kind=damaged fail "the new release holds ${path@Q}, a link to ${target@Q}, which is not in its manifest" \
        'nothing was switched'
  done < <(exec find . -type l -printf '%P\0%l\0')
fi
printf '%s\n' "$artifact" >"$metadata/artifact.json"
# verify.sh reads the links here: the manifest has none.
: >"$metadata/links"
if ((${#links[@]})); then printf '%s\n' "${links[@]}" >"$metadata/links"; fi
# Like the marks of a release, it is no part of it: another signature may replace it.
if [[ -n $signature ]]; then printf '%s' "$signature" >"$metadata/signature"; fi
# The rename fails where `.warpbeam` is a link, or a directory with something in it (rename(2)).
mv -T -- "$metadata" .warpbeam
cd -- "$root"

step sync
# Without this, a power loss soon after leaves empty files under names that are there.
sync -f -- "$partial"
# The sync may take long on a slow disk, and a `fab` on a machine that sleeps renews no lease: check the lock again.
still_ours "$lease"
mv -T -- "$partial" "$releases/$release"
sync -f -- "$releases"
answer files: "${expected% *}"
