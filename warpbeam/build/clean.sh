#!/bin/bash
# Removes what builds of the app keep on this host, and answers with its size in bytes.
#
# Parameters: root (the app's directory on this host).
: "${root?}"

# Everything but the lock, which another build may be waiting for, and the trees that rsync may be copying now, here or
# in the directory of an image (container.sh).
main() {
  local build=$root/build size
  [[ -d $build && -w $build ]] ||
    refuse "$build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  exec 8>"$build/lock"
  flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
  size=$(du -sb -- "$build")
  find "$build" -mindepth 1 -maxdepth 1 ! -name lock ! -name 'carried.*' ! -name images -exec rm -rf -- {} +
  if [[ -d $build/images ]]; then
    find "$build/images" -mindepth 2 -maxdepth 3 ! -name build ! -name 'carried.*' -prune -exec rm -rf -- {} +
  fi
  answer bytes: "${size%%[!0-9]*}"
}

main
