#!/bin/bash
# Asks the privileged helper which releases are admitted here, and whether their signatures count now. Changes nothing.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper).
: "${root?}" "${app?}" "${helper?}"

main() {
  local said release slots reason all=''
  said=$(sudo -n -- "$helper" admitted </dev/null) || refuse 'the privileged helper does not answer' 'run setup'
  while read -r release slots reason; do
    is_release "$release" || continue
    object release "$release" slots "$slots" reason "$reason"
    all+="${all:+,}$REPLY"
  done <<<"$said"
  read_links
  find_releases
  array "${complete[@]}"
  answer copies: "[$all]" live "$live_release" releases: "$REPLY"
}

main
