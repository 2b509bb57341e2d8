#!/bin/bash
# The nftables tables: the redirect, the guards of ports and nodes, the filter.

# page_is_served: succeeds if only systemd listens at the page's port; else REPLY says why not.
page_is_served() {
  strangers root init.scope "$PAGE_PORT"
  if ((listening == 0)); then REPLY="nothing listens at port $PAGE_PORT"; fi
  [[ -z $REPLY ]]
}

# load FILE ...: loads the tables of the files that exist, in one transaction.
load() {
  local file text all=''
  for file; do
    text=''
    if [[ -e $file ]]; then IFS= read -r -d '' text <"$file" || true; fi
    all+=$text
  done
  nft -f - <<<"$all"
}

# redirect SLOT: loads the app's table for SLOT (or for maintenance, which comes first), in one transaction with the
# guard of the ports that it leads to. Loads nothing where the redirect was cleared; where nothing is live, removes the
# table.
redirect() {
  local file=$ETC/redirect-$1.nft
  if in_maintenance; then
    file=$ETC/redirect-maintenance.nft
    # Ask the kernel, because setup may have moved the port. A missing page is no reason to serve the app during
    # maintenance, and the guard lets no stranger answer in its place.
    [[ -z $PAGE_PORT ]] || page_is_served || { systemctl restart -- "$app-maintenance.socket" && page_is_served; } ||
      printf 'warpbeam-helper: the maintenance page is not served: %s\n' "$REPLY" >&2
  elif [[ -z $1 ]]; then
    nft -f - <<<"table inet warpbeam_$app {}; delete table inet warpbeam_$app"
    return 0
  fi
  [[ -e $file ]] || return 0
  load "$file" "$ETC/guard.nft"
}

# The guard is loaded before anything leads to the app's ports. It lets a SYN cookie out only after an answer that has
# an owner, and a kernel with tcp_syncookies=2 (ip-sysctl: for tests) gives no such answer. So 2 becomes 1: cookies only
# when the queue is full.
guard_ports() {
  local cookies=''
  [[ ! -e $ETC/guard.nft ]] || nft -f "$ETC/guard.nft"
  { read -r cookies </proc/sys/net/ipv4/tcp_syncookies; } 2>/dev/null || true
  if [[ $cookies == 2 ]]; then
    { echo 1 >/proc/sys/net/ipv4/tcp_syncookies; } 2>/dev/null ||
      printf 'warpbeam-helper: net.ipv4.tcp_syncookies is 2; expected 1: with 2 no client reaches the app\n' >&2
  fi
}

# The nodes' table is loaded before any node is started. (Without peers the nodes listen on loopback, and a deploy need
# not wait for tables that have been there since the boot.)
guard_nodes() { [[ ! -e $ETC/nodes.nft ]] || nft -f "$ETC/nodes.nft"; }
has_peers() { [[ -e $ETC/nodes.nft && $(<"$ETC/nodes.nft") == *'chain forward '* ]]; }

# Loads the confirmed filter where the kernel has none: at boot, and after all rules were flushed. A filter that is
# loaded stays: it may be on trial, and loading it again would forget which sources are over the limit.
filter() {
  [[ -e $ETC/filter.nft ]] || return 0
  nft list table inet "warpbeam_$app-filter" >/dev/null 2>&1 || nft -f "$ETC/filter.nft"
}

# The kernel tracks each connection for two minutes after its end (TIME_WAIT); when its table is full, it drops new
# ones. /etc/sysctl.d comes too early at boot: the first rule loads the kernel's module. The limit is never lowered,
# because another program may need it.
make_room() {
  local want=$TRACKED have key
  for key in buckets max; do
    { read -r have <"/proc/sys/net/netfilter/nf_conntrack_$key"; } 2>/dev/null || return 0
    ((have < want)) || continue
    { echo "$want" >"/proc/sys/net/netfilter/nf_conntrack_$key"; } 2>/dev/null ||
      printf 'warpbeam-helper: nf_conntrack_%s is %s and cannot be raised to %s here\n' "$key" "$have" "$want" >&2
  done
}
