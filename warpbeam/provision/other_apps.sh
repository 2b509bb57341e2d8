#!/bin/bash
# Finds the other apps that Warpbeam's setup has put on this host, by the constants of their privileged helpers, which
# root wrote: names, users and ports. Changes nothing.
#
# Parameters: app (this one; empty on a host that does not run it).
: "${app?}"

# ports_of HELPER: print each port of the app whose helper that is: those of its slots, nodes and page, and the public
# ones, which only its redirect has. (`firewall.clear` removes the redirect; its public ports are free then.)
ports_of() {
  local etc redirect
  etc=$(sed -n 's/^readonly root=.* ETC=\([^ ]*\)$/\1/p' -- "$1")
  redirect=$etc/redirect-a.nft
  {
    sed -n -E 's/^readonly (-A PORTS|-A DIST_PORT|PAGE_PORT)=//p' -- "$1" | sed 's/ TRACKED=.*//'
    if [[ -f $redirect ]]; then sed -n 's/.* tcp dport \([0-9]*\) redirect to .*/\1/p' -- "$redirect"; fi
  } | grep -oE '[0-9]+' | sort -nu
}

# find_other_apps: puts a JSON object for each other app on this host into `other_apps`.
find_other_apps() {
  local file name deploy environment ports
  other_apps=''
  for file in /usr/lib/warpbeam/*/warpbeam-helper; do
    name=${file%/*} name=${name##*/}
    if [[ -z $app || $name == "$app" || ! -f $file ]]; then continue; fi
    deploy=$(sed -n 's/^readonly .* DEPLOY_USER=\([^ ]*\)$/\1/p' -- "$file")
    environment=''
    if [[ -r ${file%/*}/environment ]]; then read -r environment <"${file%/*}/environment" || true; fi
    mapfile -t ports < <(ports_of "$file")
    array "${ports[@]}"
    # Ports are numbers, so they need no quotes.
    object app "$name" environment "$environment" deploy "$deploy" ports: "${REPLY//\"/}"
    other_apps+=${other_apps:+,}$REPLY
  done
}
