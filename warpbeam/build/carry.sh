#!/bin/bash
# Makes a directory for the copy of a working tree, which rsync fills then: a directory of its own for each build. Two
# builds may send two trees at once, and only a build itself has the lock of builds.
#
# Parameters: root (the app's directory on this host), carried (the name of the directory below ROOT/build).
: "${root?}" "${carried?}"

main() {
  local build=$root/build
  [[ -d $build && -w $build ]] ||
    refuse "$build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  type -P rsync >/dev/null || refuse "there is no rsync for $(id -un) on this build host" 'install rsync there'
  # Copies whose build never came.
  find "$build" -mindepth 1 -maxdepth 1 -name 'carried.*' -cmin +1440 -exec rm -rf -- {} +
  # The copy of the last build is the beginning: rsync sends what has changed.
  mv -T -- "$build/carried" "$build/$carried" 2>/dev/null || mkdir -- "$build/$carried" ||
    fail "$build/$carried cannot be made" 'is there room on the build host?'
  answer done: true
}

main
