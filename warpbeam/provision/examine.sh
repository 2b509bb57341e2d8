#!/bin/bash
# What `doctor` looks at beyond what setup compares, as root. Changes nothing: rules are loaded into a network name space of
# their own to see what the kernel makes of them, and settings are only printed.
#
# Parameters: app, app_user, root, etc (empty where the app does not run), key (of the digests that take the place of secrets),
# node_ports (of nodes that have peers), mates (the addresses of hosts whose nodes this one's may see).
: "${app?}" "${app_user?}" "${root?}" "${etc?}" "${key?}" "${node_ports[@]-}" "${mates[@]-}"

((EUID == 0)) || refuse 'doctor must be root here' 'give the admin sudo, or see users.admin in the inventory'

# joined ITEM ...: a JSON array of JSON values, in REPLY.
joined() {
  local IFS=,
  REPLY="[$*]"
}

live='' pid=0
if [[ -n $etc ]]; then
  read_links
  if [[ -n $live ]]; then pid=$(systemctl show --property=MainPID --value -- "$app@$live.service"); fi
fi

step disk
disks=()
while read -r blocks free inodes inodes_free where; do
  object mount "$where" size: "$((blocks * 1024))" free: "$((free * 1024))" inodes: "$inodes" inodes_free: "$inodes_free"
  disks+=("$REPLY")
done < <(
  for path in / "$root" /var/lib /var/log /tmp; do
    # What is not there yet will be where its parent is.
    while [[ ! -e $path ]]; do path=${path%/*} path=${path:-/}; done
    df --output=size,avail,itotal,iavail,target -- "$path" | tail -n 1
  done | awk '{ for (i = 1; i < 5; i++) if ($i == "-") $i = 0 } !seen[$5]++'
)
joined "${disks[@]}"; disks_json=$REPLY

# Whoever may write a release decides what the app runs. One is enough to know; links have no mode of their own.
step releases
writable=''
if [[ -n $etc ]]; then
  writable=$(find "$releases" -mindepth 1 ! -type l -perm /022 -printf '%p: it is %m %u:%g' -quit 2>/dev/null) || true
fi

step limits
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

step ports
listeners=() sockets=()
# A program calls itself what it likes, in 15 bytes: a line end in them makes no whole line, and no more of them a number.
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
  # ss leaves out root's uid.
  if [[ $users =~ ^(.*)\ (uid:([0-9]+)\ )?ino:[0-9]+\ sk: ]]; then owner=0 users=${BASH_REMATCH[1]}; fi
  if [[ $users =~ ^(.*)\ uid:([0-9]+)$ ]]; then owner=${BASH_REMATCH[2]} users=${BASH_REMATCH[1]}; fi
  if [[ $users =~ ^users:\(\(\"(.*)\",pid=([0-9]+),fd=[0-9]+\)\)$ ]]; then
    program=${BASH_REMATCH[1]%%\"*}
    unit=$(sed -n 's/^0:://p' "/proc/${BASH_REMATCH[2]}/cgroup" 2>/dev/null) || unit=''
  fi
  object port: "${address##*:}" address "${address%:*}" program "$program" unit "${unit##*/}" uid: "$owner"
  listeners+=("$REPLY")
done
uid_of "${app_user:-root}"
app_uid=$REPLY binds=false
[[ $(systemctl --version) != *+BPF_FRAMEWORK* ]] || binds=true
joined "${listeners[@]}"; listeners_json=$REPLY

# reached ADDRESS PORT: whether a node takes connections from here there (`yes`), none runs there (`refused`), or nothing is heard.
# Root may call (nodes.nft). A node that hears nothing more forgets it.
reached() {
  local said status=0
  # shellcheck disable=SC2016 # expanded by the inner bash
  said=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2" 2>&1) || status=$?
  if ((status == 0)); then REPLY='yes'; elif [[ $said == *refused* ]]; then REPLY='refused'; else REPLY='silence'; fi
  object address "$1" port: "$2" says "$REPLY"
  printf '%s\n' "$REPLY"
}

calls_json='[]' links_json='[]' finds=true
if ((pid > 0 && ${#node_ports[@]})); then
  step nodes
  links "$app" "$app_user" "${node_ports[@]}"
  links_json=$REPLY
  # As it was started: see dumps.sh. A process can make its own arguments long, and slow to read.
  [[ $(timeout --signal=KILL 2 head -c 65536 "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ') == *' -pa /'*'/warpbeam-nodes '* ]] || finds=false
  mapfile -t calls < <(
    for mate in "${mates[@]}"; do
      for port in "${node_ports[@]}"; do reached "$mate" "$port" & done
    done
    wait
  )
  joined "${calls[@]}"; calls_json=$REPLY
fi

# What the kernel has, of each table that the app's own files make. Numbers that change by themselves are left out.
stateless() { nft --stateless list table "$1" "$2" 2>/dev/null | without_elements; }
# A set that few are in has them on one line: sed looks for the end of a range on the lines after its beginning.
without_elements() { sed -e '/^[[:space:]]*elements = {.*}/d' -e '/^[[:space:]]*elements = {/,/}/d'; }

step firewall
tables=()
if [[ -n $etc ]] && command -v nft unshare >/dev/null; then
  redirect=$etc/redirect-$live.nft
  if [[ -e $etc/maintenance ]]; then redirect=$etc/redirect-maintenance.nft; fi
  files=()
  for file in "$etc"/*.nft; do
    if [[ -f $file && ($file != */redirect-* || $file == "$redirect") ]]; then files+=("$file"); fi
  done
  for file in "${files[@]}"; do
    # A name space of its own begins without any table, and is gone with its last process.
    # shellcheck disable=SC2016 # expanded by the inner bash
    wanted=$(unshare --net -- bash -c 'nft -f "$1" && nft --stateless list ruleset' nft "$file" 2>/dev/null |
      without_elements) || wanted=''
    while read -r _ family table _; do
      wants=$(awk -v head="table $family $table {" '$0 == head { on = 1 } on { print } $0 == "}" { on = 0 }' <<<"$wanted")
      has=$(stateless "$family" "$table") || has=''
      object table "$family $table" file "$file" wants "$wants" has "$has"
      tables+=("$REPLY")
    done < <(grep '^table ' <<<"$wanted")
  done
fi
joined "${tables[@]}"; tables_json=$REPLY

step restarts
restarts=()
if command -v needrestart >/dev/null && [[ -r /etc/needrestart/needrestart.conf ]]; then
  # Its configuration is Perl, that adds up in /etc/needrestart/conf.d: asked the way needrestart itself does.
  # shellcheck disable=SC2016 # Perl's
  if verdict=$(perl -e '
    our %nrconf; do "/etc/needrestart/needrestart.conf";
    my $unit = shift; my $yes = 1;
    while (my ($re, $value) = each %{$nrconf{override_rc} // {}}) { $yes = $value if $unit =~ /$re/ }
    print(($nrconf{restart} // "i") ne "l" && $yes ? "yes" : "no")' "$app@a.service" 2>/dev/null) && [[ $verdict == yes ]]; then
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

step logins
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
    # It forwards ports, and whatever sshd is told to run for it.
    case $shell in */nologin | */false | */sync | */halt | */shutdown) with+=', without a shell' ;; esac
    object name "$name" means "$with"
    logins+=("$REPLY")
  fi
done < <(getent passwd)
joined "${logins[@]}"; logins_json=$REPLY
proc=$(awk '$2 == "/proc" { print $4 }' /proc/mounts | tail -n 1)

secrets=null cookie=null
if [[ -n $etc ]]; then
  if [[ -f $etc/secrets.env ]]; then masked "$etc/secrets.env" "$key"; quoted "$REPLY"; secrets=$REPLY; fi
  if [[ -f $etc/cookie.env ]]; then masked "$etc/cookie.env" "$key"; quoted "$REPLY"; cookie=$REPLY; fi
fi
runs=false
if ((pid > 0)); then runs=true; fi
reload=()
if [[ -n $etc ]]; then
  for unit in "$app@a.service" "$app@b.service" "$app.service" "$app-activate.service"; do
    [[ $(systemctl show --property=NeedDaemonReload --value -- "$unit") != yes ]] || reload+=("$unit")
  done
fi
array "${reload[@]}"; reload_json=$REPLY

# Last, so that little time passes until it is compared.
answer disks: "$disks_json" writable "$writable" limits: "$limits_json" listeners: "$listeners_json" tables: "$tables_json" \
  restarts: "$restarts_json" logins: "$logins_json" proc "$proc" me "${SUDO_USER:-$(id -un)}" secrets: "$secrets" \
  uid: "${app_uid:-0}" binds: "$binds" cookie: "$cookie" shown: "$shown" reload: "$reload_json" live "$live" runs: "$runs" \
  links: "$links_json" finds: "$finds" calls: "$calls_json" clock "$(date +%s.%N)"
