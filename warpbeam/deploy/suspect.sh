#!/bin/bash
# Releases that were on this host when setup last removed a deploy key (provision/fresh_inodes.sh). A process of the app
# may hold descriptors of their files, which the owner of that key passed on: such a process writes into every release
# that shares those files.
#
# Parameters: suspects (root's file that names these releases, a line each).
: "${suspects?}"

# is_suspect RELEASE: whether the release was there then. A file that cannot be read suspects every release.
is_suspect() {
  local status=0
  [[ -e $suspects ]] || return 1
  grep -Fxqs -- "$1" "$suspects" || status=$?
  ((status != 1))
}
