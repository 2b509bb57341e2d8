#!/bin/bash
# Makes a complete release of what the host has (hard links) and what comes on standard input (a gzip'd tar stream).
#
# Parameters: root, app, token, lease, release, base (release to link from, or empty), artifact (JSON about it).
: "${root?}" "${app?}" "${token?}" "${lease?}" "${release?}" "${base?}" "${artifact?}"

still_ours "$lease"
partial=$releases/$release.partial
manifest=$root/activation/manifest
trap 'rm -rf -- "$partial"' EXIT
trap 'exit 143' TERM INT HUP
[[ ! -e $releases/$release ]] || refuse "$releases/$release exists already" 'run the same command again'
rm -rf -- "$partial"

step link
# Directories are made one by one: only so do they keep the set-group-ID bit, by which the app's group reads all this.
mkdir -- "$partial"
cd -- "$partial"
sed 's/^[0-7]* [0-9a-f]*  //; /\//!d; s,/[^/]*$,,' "$manifest" | sort -u | xargs -r -d '\n' mkdir -p --
if [[ -n $base ]]; then
  grep -Fxf "$manifest" -- "$releases/$base/.warpbeam/manifest" | sed 's/^[0-7]* [0-9a-f]*  //' |
    (cd -- "$releases/$base" && xargs -r -d '\n' cp --link --parents --target-directory="$partial" --)
fi

step receive
# tar replaces a file by unlinking it first, so a link's other names keep their content.
tar -xz --no-same-owner --no-same-permissions ||
  fail 'the upload could not be unpacked (is the disk full?)' "$(df -h -- "$releases" | tail -n 1)"

step verify
# Every file, linked ones too: a disk can have damaged them since.
cut -d ' ' -f 2- -- "$manifest" | sha256sum --check --quiet --strict >"$root/activation/damaged" 2>&1 || {
  mapfile -t damaged < <(head -n 10 -- "$root/activation/damaged")
  fail 'files of the new release are damaged or missing' 'nothing was switched; run the same command again' "${damaged[@]}"
}
expected=$(wc -l <"$manifest")
found=$(find . -type f -printf x | wc -c)
((expected == found)) || fail "the new release has $found files; its manifest has $expected" 'run the same command again'
unreadable=$(find . \( ! -group "$(stat -c %G -- "$releases")" -o ! -perm -g+r \) -print -quit)
[[ -z $unreadable ]] || fail "the app user could not read $unreadable of the new release" 'run setup, then the same command again'
mkdir -- .warpbeam
cp -- "$manifest" .warpbeam/manifest
printf '%s\n' "$artifact" >.warpbeam/artifact.json
cd -- "$root"

step sync
# Without this a power loss soon after leaves empty files behind names that are there.
sync -f -- "$partial"
mv -T -- "$partial" "$releases/$release"
sync -f -- "$releases"
answer files: "$found"
