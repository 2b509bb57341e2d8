#!/bin/bash
# Asks the root door its version, as the deploy user: proves login, sudo rule and door at once.
: "${door?}"

version=$(sudo -n -- "$door" version </dev/null) ||
  fail "$(id -un) may not run $door through sudo" 'run setup; see /etc/sudoers.d on the host'
answer version "$version"
