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
mkdir -- "$partial"
if [[ -n $base ]]; then
  # One process for all links. What the new release does not have as it is there goes away again.
  cp -al -- "$releases/$base/." "$partial/"
  rm -rf -- "$partial/.warpbeam"
  awk -v new="$manifest" 'BEGIN { while ((getline < new) > 0) keep[$0] = 1 }
    !($0 in keep) { sub(/^[0-7]+ [0-9a-f]+  /, ""); printf "%s%c", $0, 0 }' "$releases/$base/.warpbeam/manifest" |
    (cd -- "$partial" && xargs -0 --no-run-if-empty rm -f --)
  find "$partial" -type l -delete
  find "$partial" -mindepth 1 -type d -empty -delete
fi

step receive
# tar replaces a file by unlinking it first, so a link's other names keep their content.
tar -xz --no-same-owner --no-same-permissions --directory="$partial" ||
  fail 'the upload could not be unpacked (is the disk full?)' "$(df -h -- "$releases" | tail -n 1)"

step verify
cd -- "$partial"
# Every file, linked ones too: a disk can have damaged them since.
cut -d ' ' -f 2- -- "$manifest" | sha256sum --check --quiet --strict >"$root/activation/damaged" 2>&1 || {
  mapfile -t damaged < <(head -n 10 -- "$root/activation/damaged")
  fail 'files of the new release are damaged or missing' 'nothing was switched; run the same command again' "${damaged[@]}"
}
expected=$(wc -l <"$manifest")
found=$(find . -type f -printf x | wc -c)
((expected == found)) || fail "the new release has $found files; its manifest has $expected" 'run the same command again'
# Modes come from the tar stream less our umask; the app reads by its group.
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
