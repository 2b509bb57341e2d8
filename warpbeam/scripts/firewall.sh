#!/bin/bash
# The app's own nftables table, as root. Other tables are not touched.
#
# Parameters: app, root, door, verb (apply, clear, status), files (PATH CONTENT, two items each: the table for
# each slot and for maintenance).
: "${app?}" "${root?}" "${door?}" "${verb?}" "${files?}"

((EUID == 0)) || refuse 'the firewall needs root here' 'give the admin sudo, or see users.admin in the inventory'
command -v nft >/dev/null || refuse 'nftables is not installed' 'on Debian: apt-get install nftables'
[[ -x $door ]] || refuse 'this host is not set up' '`fab ENV setup` first'

case $verb in
  apply)
    step apply
    for ((i = 0; i < ${#files[@]}; i += 2)); do
      path=${files[i]}
      printf '%s' "${files[i + 1]}" >"$path.new"
      chmod 600 -- "$path.new"
      nft -c -f "$path.new" || fail 'nft refuses the table' "see $path.new"
      mv -fT -- "$path.new" "$path"
    done
    "$door" reconcile </dev/null
    ;;
  clear)
    step clear
    for ((i = 0; i < ${#files[@]}; i += 2)); do rm -f -- "${files[i]}"; done
    if nft list table inet "warpbeam_$app" >/dev/null 2>&1; then nft delete table inet "warpbeam_$app"; fi
    ;;
esac

text=$(nft list table inet "warpbeam_$app" 2>/dev/null) || text=''
port=$(sed -n 's/.*redirect to :\([0-9]*\).*/\1/p' <<<"$text" | sort -u)
live=''
case $(readlink -- "$root/current" 2>/dev/null || true) in
  slots/a) live=a ;;
  slots/b) live=b ;;
esac
kept=true
[[ -e ${files[0]} ]] || kept=false
maintenance=false
[[ ! -e ${files[0]%/*}/maintenance ]] || maintenance=true
answer text "$text" port "$port" live "$live" kept: "$kept" maintenance: "$maintenance"
