#!/bin/bash
# Makes a complete release of what the host has (hard links) and what comes on standard input (a gzip'd tar stream).
#
# Parameters: root, app, token, lease, release, base (release to link from, or empty), artifact (JSON about it), group (the app's,
# which must be able to read it).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${release?}" "${base?}" "${artifact?}" "${group?}"

still_ours "$lease"
partial=$releases/$release.partial
manifest=$root/activation/manifest
trap '[[ ! -e $partial ]] || rm -rf -- "$partial"' EXIT
trap 'exit 143' TERM INT HUP
[[ ! -e $releases/$release ]] || refuse "$releases/$release exists already" 'run the same command again'

step link
# The manifest's lines are `MODE SHA256  PATH`. Read once, for all that follows: its directories, the files that the base has, all
# files, and what openssl will say of them, a list each.
lists=$root/activation/lists
if [[ -e $partial ]]; then rm -rf -- "$partial"; fi
mkdir -p -- "$lists" "$partial/.warpbeam"
linked=/dev/null
if [[ -n $base ]]; then linked=$releases/$base/.warpbeam/manifest; fi
expected=$(exec awk -v files="$lists/files" -v sums="$lists/sums" -v linked="$lists/linked" -v directories="$lists/directories" '
  BEGIN { printf "" >files; printf "" >sums; printf "" >linked; printf "" >directories }
  there { has[$0]; next }
  {
    path = substr($0, length($1) + length($2) + 4)
    print "./" path >files
    print $2 " *./" path >sums
    if ($0 in has) print path >linked
    names = split(path, name, "/")
    directory = substr(path, 1, length(path) - length(name[names]) - 1)
    if (names > 1 && !(directory in made)) { made[directory]; print directory >directories }
  }
  END { print FNR }' there=1 "$linked" there=0 "$manifest")
# Directories are made one by one: only so do they keep the set-group-ID bit, by which the app's group reads all this.
cd -- "$partial"
xargs -r -d '\n' -a "$lists/directories" mkdir -p --
if [[ -n $base ]]; then
  (cd -- "$releases/$base" && exec xargs -r -d '\n' -a "$lists/linked" cp --link --parents --target-directory="$partial" --) 2>"$lists/missing" || {
    mapfile -t missing < <(head -n 10 -- "$lists/missing")
    fail_kind=damaged fail "not all files of $base could be linked" 'is there room, and an inode, on the disk?' "${missing[@]}"
  }
fi

step receive
# tar replaces a file by unlinking it first, so a link's other names keep their content.
tar -xz --no-same-owner --no-same-permissions ||
  fail 'the upload could not be unpacked (is the disk full?)' "$(df -h -- "$releases" | tail -n 1)"

step verify
# Every file, linked ones too: a disk can have damaged them since. Where there is an openssl (which uses the processor's own
# instructions, five times as quick) it is asked first; what that finds wrong, the other names.
verified() {
  command -v openssl >/dev/null || return 1
  cmp -s -- "$lists/sums" <(exec xargs -r -d '\n' -a "$lists/files" openssl dgst -sha256 -r 2>/dev/null)
}
verified || {
  cut -d ' ' -f 2- -- "$manifest" | sha256sum --check --quiet --strict >"$root/activation/damaged" 2>&1 || {
    mapfile -t damaged < <(head -n 10 -- "$root/activation/damaged")
    fail_kind=damaged fail 'files of the new release are damaged or missing' 'nothing was switched; run the same command again' "${damaged[@]}"
  }
}
# An `x` for each file; or what the app's group could not read.
looked=$(exec find . -type f \( \( ! -group "$group" -o ! -perm -g+r \) -printf %p -quit -o -printf x \))
[[ $looked != *[!x]* ]] ||
  fail_kind=damaged fail "the app user could not read ${looked#"${looked%%[!x]*}"} of the new release" 'run setup, then the same command again'
((expected == ${#looked})) || fail "the new release has ${#looked} files; its manifest has $expected" 'run the same command again'
cp -- "$manifest" .warpbeam/manifest
printf '%s\n' "$artifact" >.warpbeam/artifact.json
cd -- "$root"

step sync
# Without this a power loss soon after leaves empty files behind names that are there.
sync -f -- "$partial"
# That may take long on a slow disk, and a machine that sleeps renews no lease.
still_ours "$lease"
mv -T -- "$partial" "$releases/$release"
sync -f -- "$releases"
answer files: "$expected"
