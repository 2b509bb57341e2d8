#!/bin/bash
# Reads, as root, what `doctor` examines and setup does not compare. Changes nothing: rules are loaded into a separate
# network namespace to see what the kernel makes of them, and settings are only printed.
#
# Parameters: app, app_user and etc (both empty on a host that does not run the app), root, key (of the digests that
# replace secret values), node_ports (of nodes that have peers), mates (addresses of the hosts whose nodes may connect
# with this host's nodes).
: "${app?}" "${app_user?}" "${root?}" "${etc?}" "${key?}" "${node_ports[@]-}" "${mates[@]-}"

# joined ITEM ...: a JSON array of JSON values, in REPLY.
joined() {
  local IFS=,
  REPLY="[$*]"
}

# find_live: puts the live slot into `live`, and the process of its instance into `pid`; 0: none runs.
find_live() {
  live='' pid=0
  if [[ -n $etc ]]; then
    read_links
    if [[ -n $live ]]; then pid=$(systemctl show --property=MainPID --value -- "$app@$live.service"); fi
  fi
}

look_at_disks() {
  local blocks free inodes inodes_free where path disks
  disks=()
  while read -r blocks free inodes inodes_free where; do
    object mount "$where" size: "$((blocks * 1024))" free: "$((free * 1024))" \
      inodes: "$inodes" inodes_free: "$inodes_free"
    disks+=("$REPLY")
  done < <(
    for path in / "$root" /var/lib /var/log /tmp; do
      # A directory that is missing now will be made in its parent's file system.
      while [[ ! -e $path ]]; do path=${path%/*} path=${path:-/}; done
      df --output=size,avail,itotal,iavail,target -- "$path" | tail -n 1
    done | awk '{ for (i = 1; i < 5; i++) if ($i == "-") $i = 0 } !seen[$5]++'
  )
  joined "${disks[@]}"; disks_json=$REPLY
}

# look_at_releases: a user who can write to a release decides what the app runs. One such file is enough to report;
# links have no mode.
look_at_releases() {
  writable=''
  if [[ -n $etc ]]; then
    writable=$(find "$releases" -mindepth 1 ! -type l -perm /022 -printf '%p: it is %m %u:%g' -quit 2>/dev/null) || true
  fi
}

# look_at_signature: root's own link says what the live slot starts; the app and the deploy user cannot change either.
look_at_signature() {
  local file=$root.admitted/${live:-none}/.warpbeam/signature
  signature=''
  if [[ -n $etc && -f $file ]]; then signature=$(head -c 16384 -- "$file" | tr -d '\0'); fi
}

look_at_limits() {
  local opened may_open tracked may_track
  shown=false
  if ((pid > 0)) && shows_cookie "$pid"; then shown=true; fi
  opened=0 may_open=0
  if ((pid > 0)); then
    opened=$(find "/proc/$pid/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
    may_open=$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits" 2>/dev/null) || may_open=0
  fi
  tracked=$(cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null) || tracked=0
  may_track=$(cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null) || may_track=0
  object opened: "$opened" may_open: "${may_open:-0}" tracked: "$tracked" may_track: "$may_track"
  limits_json=$REPLY
}

look_at_ports() {
  local listeners sockets text program unit owner address users
  listeners=() sockets=()
  # A program chooses its own name of up to 15 bytes, which may contain line ends. A piece of it is too short to pass
  # for a line of ss, so it belongs to the line before; several pieces cannot forge a user's number either.
  while IFS= read -r text; do
    if [[ $text =~ ^LISTEN\ +[0-9]+\ +[0-9]+\ +[^\ ]+:[0-9]+\ +[^\ ]+:\*\  ]]; then
      sockets+=("$text")
    elif ((${#sockets[@]})); then
      sockets[-1]+=" $text"
    fi
  done < <(ss -Hltnpe)
  for text in "${sockets[@]}"; do
    program='' unit='' owner=4294967295
    read -r _ _ _ address _ users <<<"${text%% cgroup:/*}"
    # ss prints no uid for root's sockets.
    if [[ $users =~ ^(.*)\ (uid:([0-9]+)\ )?ino:[0-9]+\ sk: ]]; then owner=0 users=${BASH_REMATCH[1]}; fi
    if [[ $users =~ ^(.*)\ uid:([0-9]+)$ ]]; then owner=${BASH_REMATCH[2]} users=${BASH_REMATCH[1]}; fi
    if [[ $users =~ ^users:\(\(\"(.*)\",pid=([0-9]+),fd=[0-9]+\)\)$ ]]; then
      program=${BASH_REMATCH[1]%%\"*}
      unit=$(sed -n 's/^0:://p' "/proc/${BASH_REMATCH[2]}/cgroup" 2>/dev/null) || unit=''
    fi
    user_of "$owner"
    object port: "${address##*:}" address "${address%:*}" program "$program" unit "${unit##*/}" \
      uid: "$owner" user "$REPLY"
    listeners+=("$REPLY")
  done
  uid_of "${app_user:-root}"
  app_uid=$REPLY binds=false
  [[ $(systemctl --version) != *+BPF_FRAMEWORK* ]] || binds=true
  joined "${listeners[@]}"; listeners_json=$REPLY
}

# reached ADDRESS PORT: print whether a node accepts connections from this host (`yes`), no node runs there (`refused`),
# or nothing answers (`silence`). nodes.nft lets root connect. A node drops a connection on which nothing follows.
reached() {
  local said status=0
  # shellcheck disable=SC2016 # expanded by the inner bash
  said=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2" 2>&1) || status=$?
  if ((status == 0)); then REPLY='yes'; elif [[ $said == *refused* ]]; then REPLY='refused'; else REPLY='silence'; fi
  object address "$1" port: "$2" says "$REPLY"
  printf '%s\n' "$REPLY"
}

look_at_nodes() {
  local calls mate port
  calls_json='[]' links_json='[]' finds=true
  if ((pid > 0 && ${#node_ports[@]})); then
    step nodes
    links "$app" "$app_user" "${node_ports[@]}"
    links_json=$REPLY
    # The launcher adds this argument (templates/launch.sh.j2); an instance that an older version started does not have
    # it. Both limits are needed because a process can make its own arguments long, and slow to read.
    [[ $(timeout --signal=KILL 2 head -c 65536 "/proc/$pid/cmdline" 2>/dev/null |
      tr '\0' ' ') == *' -pa /'*'/warpbeam-nodes '* ]] || finds=false
    mapfile -t calls < <(
      for mate in "${mates[@]}"; do
        for port in "${node_ports[@]}"; do reached "$mate" "$port" & done
      done
      wait
    )
    joined "${calls[@]}"; calls_json=$REPLY
  fi
}

# stateless FAMILY TABLE: print the table that the kernel has, without counters and elements, which change by
# themselves.
stateless() { nft --stateless list table "$1" "$2" 2>/dev/null | without_elements; }
# A set with few elements has them on one line. It needs an expression of its own: sed looks for the end of a range only
# on the lines after its beginning.
without_elements() { sed -e '/^[[:space:]]*elements = {.*}/d' -e '/^[[:space:]]*elements = {/,/}/d'; }

look_at_firewall() {
  local tables redirect files file wanted family table wants has
  tables=()
  if [[ -n $etc ]] && command -v nft unshare >/dev/null; then
    redirect=$etc/redirect-$live.nft
    if [[ -e $etc/maintenance ]]; then redirect=$etc/redirect-maintenance.nft; fi
    files=()
    for file in "$etc"/*.nft; do
      if [[ -f $file && ($file != */redirect-* || $file == "$redirect") ]]; then files+=("$file"); fi
    done
    for file in "${files[@]}"; do
      # A new network namespace has no tables, and disappears with its last process.
      # shellcheck disable=SC2016 # expanded by the inner bash
      wanted=$(unshare --net -- bash -c 'nft -f "$1" && nft --stateless list ruleset' nft "$file" 2>/dev/null |
        without_elements) || wanted=''
      while read -r _ family table _; do
        wants=$(awk -v head="table $family $table {" \
          '$0 == head { on = 1 } on { print } $0 == "}" { on = 0 }' <<<"$wanted")
        has=$(stateless "$family" "$table") || has=''
        object table "$family $table" file "$file" wants "$wants" has "$has"
        tables+=("$REPLY")
      done < <(grep '^table ' <<<"$wanted")
    done
  fi
  joined "${tables[@]}"; tables_json=$REPLY
}

look_at_restarts() {
  local restarts verdict
  restarts=()
  if command -v needrestart >/dev/null && [[ -r /etc/needrestart/needrestart.conf ]]; then
    # needrestart's configuration is Perl, and includes /etc/needrestart/conf.d: evaluate it as needrestart does.
    # shellcheck disable=SC2016 # Perl's
    if verdict=$(perl -e '
      our %nrconf; do "/etc/needrestart/needrestart.conf";
      my $unit = shift; my $yes = 1;
      while (my ($re, $value) = each %{$nrconf{override_rc} // {}}) { $yes = $value if $unit =~ /$re/ }
      print(($nrconf{restart} // "i") ne "l" && $yes ? "yes" : "no")' "$app@a.service" 2>/dev/null) &&
      [[ $verdict == yes ]]; then
      restarts+=("needrestart may restart $app@a.service whenever a library was upgraded")
    fi
  fi
  if command -v unattended-upgrade >/dev/null && command -v apt-config >/dev/null &&
    apt-config dump 2>/dev/null | grep -qiE '^Unattended-Upgrade::Automatic-Reboot "(true|1|yes)"'; then
    restarts+=('unattended-upgrades may reboot this host by itself')
  fi
  if grep -qsE '^[[:space:]]*reboot[[:space:]]*=[[:space:]]*when-' /etc/dnf/automatic.conf; then
    restarts+=('dnf-automatic may reboot this host by itself')
  fi
  array "${restarts[@]}"; restarts_json=$REPLY
}

look_at_logins() {
  local today logins name uid home shell hash expires with
  printf -v today '%(%s)T' -1
  today=$((today / 86400))
  logins=()
  while IFS=: read -r name _ uid _ _ home shell; do
    ((uid != 0)) || continue
    IFS=: read -r _ hash _ _ _ _ _ expires _ < <(getent shadow -- "$name") || true
    if [[ -n ${expires-} ]] && ((expires > 0 && expires <= today)); then continue; fi
    with=''
    if [[ -s $home/.ssh/authorized_keys || -s $home/.ssh/authorized_keys2 ]]; then with=key; fi
    case ${hash-} in
      '' | '!'* | '*'*) ;;
      *) with+=${with:+ and }password ;;
    esac
    if [[ -n $with ]]; then
      # Without a shell, a login can still forward ports, and run what sshd's configuration names for it.
      case $shell in */nologin | */false | */sync | */halt | */shutdown) with+=', without a shell' ;; esac
      object name "$name" means "$with"
      logins+=("$REPLY")
    fi
  done < <(getent passwd)
  joined "${logins[@]}"; logins_json=$REPLY
  proc=$(awk '$2 == "/proc" { print $4 }' /proc/mounts | tail -n 1)
}

look_at_secrets() {
  secrets=null cookie=null
  if [[ -n $etc ]]; then
    if [[ -f $etc/secrets.env ]]; then masked "$etc/secrets.env" "$key"; quoted "$REPLY"; secrets=$REPLY; fi
    if [[ -f $etc/cookie.env ]]; then masked "$etc/cookie.env" "$key"; quoted "$REPLY"; cookie=$REPLY; fi
  fi
}

look_at_units() {
  local reload unit
  reload=()
  if [[ -n $etc ]]; then
    for unit in "$app@a.service" "$app@b.service" "$app.service" "$app-activate.service"; do
      [[ $(systemctl show --property=NeedDaemonReload --value -- "$unit") != yes ]] || reload+=("$unit")
    done
  fi
  array "${reload[@]}"; reload_json=$REPLY
}

main() {
  ((EUID == 0)) || refuse 'doctor must be root here' 'give the admin sudo, or see users.admin in the inventory'
  find_live
  step disk
  look_at_disks
  step releases
  look_at_releases
  step limits
  look_at_limits
  step ports
  look_at_ports
  look_at_nodes
  step firewall
  look_at_firewall
  step restarts
  look_at_restarts
  step logins
  look_at_logins
  look_at_secrets
  look_at_units
  look_at_signature
  runs=false
  if ((pid > 0)); then runs=true; fi
  # The clock is read last, so that little time passes until it is compared.
  answer disks: "$disks_json" writable "$writable" limits: "$limits_json" listeners: "$listeners_json" \
    tables: "$tables_json" restarts: "$restarts_json" logins: "$logins_json" proc "$proc" \
    me "${SUDO_USER:-$(id -un)}" secrets: "$secrets" uid: "${app_uid:-0}" binds: "$binds" cookie: "$cookie" \
    shown: "$shown" reload: "$reload_json" live "$live" runs: "$runs" links: "$links_json" finds: "$finds" \
    calls: "$calls_json" signature "$signature" clock "$(date +%s.%N)"
}

main
