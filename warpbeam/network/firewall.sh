#!/bin/bash
# Loads, confirms, removes or reads the app's own nftables tables, as root: the redirect and, if the inventory asks for
# one, the filter. Other tables are not touched.
#
# A new filter comes on trial: after $seconds a timer of the host brings back the previous filter, unless `confirm`,
# sent over a new connection, has made the new filter stay.
#
# Parameters: app, root, helper, verb (apply, confirm, clear, look, status), files (PATH CONTENT, two items each: the
# redirect for each slot and for maintenance), filter (its table's text; empty: none), ports (that instances and the
# maintenance page serve), seconds (of a trial), token (of the trial), taken (every port that the tables redirect or
# close), environment (to which this host must belong).
: "${environment?}" "${taken?}" "${app?}" "${root?}" "${helper?}" "${verb?}" "${files?}" "${filter?}" "${ports[@]-}"
: "${seconds?}" "${token?}"

((EUID == 0)) || refuse 'the firewall needs root here' 'give the admin sudo, or see users.admin in the inventory'
if ! command -v nft >/dev/null; then
  install='your package manager has it as nftables'
  if command -v apt-get >/dev/null; then install='apt-get install nftables'; fi
  if command -v dnf >/dev/null; then install='dnf install nftables'; fi
  refuse 'nftables is not installed' "as root on the host: $install"
fi
[[ -x $helper ]] || refuse 'this host is not set up' '`fab ENV setup` first'
[[ $verb != apply && $verb != clear ]] || belongs_here

ssh_port
for port in "${taken[@]}"; do
  [[ $verb != apply || $port != "$REPLY" ]] ||
    refuse "ssh comes to port $REPLY of this host, which is one of the app's" \
      'this would lock you out, without a way back: choose another one under `http` or `ports` in the inventory'
done

redirect_table=warpbeam_$app
filter_table=warpbeam_$app-filter
filter_file=${files[0]%/*}/filter.nft
trial=/run/warpbeam-$app-trial
# Each trial has a timer of its own name: systemd refuses a name while it remembers a unit of that name.
timer() { printf '%s-filter-revert-%s' "$app" "$(cat -- "$trial/token")"; }

there() { nft list table inet "$1" >/dev/null 2>&1; }
# The kernel gives each loaded table a new number (handle), which identifies the table on trial.
number() { nft -a list table inet "$filter_table" 2>/dev/null | sed -n '1s/.*# handle //p'; }
on_trial() { [[ -e $trial/token && $(systemctl is-active -- "$(timer).timer") == active ]]; }
kept() { [[ -e $filter_file ]] && printf '%s' "$filter" | cmp -s - "$filter_file"; }

# connections: print the number of connections to the app's instances and to the maintenance page.
connections() {
  local port any=''
  if ((${#ports[@]} == 0)); then
    echo 0
    return 0
  fi
  for port in "${ports[@]}"; do any+="${any:+ or }sport = :$port"; done
  ss -Htn state established "( $any )" | wc -l
}

# others: print what else filters incoming packets, one a line: firewalld, ufw, and tables with rules in an input hook
# (Debian's own table has none).
others() {
  if systemctl is-active --quiet -- firewalld; then echo firewalld; fi
  if grep -qis '^ENABLED=yes' /etc/ufw/ufw.conf; then echo ufw; fi
  nft list ruleset 2>/dev/null | awk '
    $1 == "table" { table = $2 " " $3 }
    $1 == "chain" || $1 == "}" { hooked = 0 }
    table ~ /^inet warpbeam_/ { next }
    hooked && NF { print "table " table }
    /type filter hook input/ { hooked = 1 }
    /type filter hook input.*policy drop/ { print "table " table }' | sort -u
}

# This lock keeps other commands from changing the filter. The helper has a lock of its own for redirects.
exec 8>"/run/warpbeam-$app.filter.lock"
flock -w 30 8 || refuse 'somebody else changes the firewall of this host' 'try again'

# keep FILE TEXT: replace FILE by one rename, and sync it: a power loss leaves the old or the new text.
keep() {
  printf '%s' "$2" >"$1.new"
  chmod 600 -- "$1.new"
  nft -c -f "$1.new" || fail 'nft refuses the table' "see $1.new on the host"
  sync -- "$1.new"
  mv -fT -- "$1.new" "$1"
  sync -- "${1%/*}"
}

# try: load the filter on trial. The timer starts first, so that no failure leaves a filter without a timer.
try() {
  step trial
  rm -rf -- "$trial"
  (umask 077 && mkdir -- "$trial")
  printf '%s' "$filter" >"$trial/filter.nft"
  printf '%s' "$token" >"$trial/token"
  nft -c -f "$trial/filter.nft" || {
    rm -rf -- "$trial"
    fail 'nft refuses the filter' 'its own words are above; nothing was loaded'
  }
  if [[ -e $filter_file ]]; then
    cp -- "$filter_file" "$trial/before.nft"
  else
    printf 'table inet %s {}\ndelete table inet %s\n' "$filter_table" "$filter_table" >"$trial/before.nft"
  fi
  # If `before` cannot be loaded, delete the filter: a host without a login is worse than one without a filter.
  cat >"$trial/revert" <<END
exec 8>/run/warpbeam-$app.filter.lock
flock 8
[[ -e $trial/before.nft ]] || exit 0
nft -f $trial/before.nft || nft delete table inet $filter_table
rm -rf -- $trial
echo 'warpbeam: no new ssh connection confirmed the new filter of $app: what was before is back'
END
  systemd-run --quiet --collect --unit="$(timer)" --on-active="${seconds}s" --timer-property=AccuracySec=100ms \
    -- /bin/bash "$trial/revert" || {
    rm -rf -- "$trial"
    fail 'systemd does not take the timer that would revert the filter' 'nothing was loaded; see journalctl on the host'
  }
  nft -f "$trial/filter.nft"
  number >"$trial/number"
}

case $verb in
  apply)
    if on_trial; then refuse 'another filter is on trial here' "it stays or reverts within seconds: try again then"; fi
    step apply
    for ((i = 0; i < ${#files[@]}; i += 2)); do keep "${files[i]}" "${files[i + 1]}"; done
    if [[ -z $filter ]]; then
      rm -f -- "$filter_file"
      if there "$filter_table"; then nft delete table inet "$filter_table"; fi
    fi
    "$helper" reconcile </dev/null
    if [[ -n $filter ]] && ! { kept && there "$filter_table"; }; then try; fi
    ;;
  confirm)
    step confirm
    [[ -e $trial/token && $(<"$trial/token") == "$token" ]] || fail 'the new filter is not on trial any more' \
      'it has reverted: a new ssh connection took too long; raise firewall.confirm'
    [[ $(number) == "$(<"$trial/number")" ]] ||
      fail 'the rules of this host were loaded again while the new filter was on trial' \
        'what was before comes back in seconds; then try again'
    keep "$filter_file" "$filter"
    # Without this file the timer reverts nothing, should it elapse now.
    rm -f -- "$trial/before.nft"
    systemctl stop -- "$(timer).timer" || true
    rm -rf -- "$trial"
    ;;
  clear)
    step clear
    count=$(connections)
    if there "$redirect_table"; then note "this cuts $count open connections"; fi
    for ((i = 0; i < ${#files[@]}; i += 2)); do rm -f -- "${files[i]}"; done
    rm -f -- "$filter_file"
    if [[ -e $trial/token ]]; then
      rm -f -- "$trial/before.nft"
      systemctl stop -- "$(timer).timer" 2>/dev/null || true
      rm -rf -- "$trial"
    fi
    for table in "$redirect_table" "$filter_table"; do
      if there "$table"; then nft delete table inet "$table"; fi
    done
    ;;
esac

text=$(nft list table inet "$redirect_table" 2>/dev/null) || text=''
leads=''
while read -r public to; do
  leads+="${leads:+,}\"$public\":\"$to\""
done < <(sed -n 's/.*tcp dport \([0-9]*\) redirect to :\([0-9]*\).*/\1 \2/p' <<<"$text" | sort -un)
live=''
case $(readlink -- "$root/current" 2>/dev/null || true) in
  slots/a) live=a ;;
  slots/b) live=b ;;
esac
kept=true
[[ -e ${files[0]} ]] || kept=false
maintenance=false
[[ ! -e ${files[0]%/*}/maintenance ]] || maintenance=true

state=off
if there "$filter_table"; then
  state=other
  if kept; then state=on; fi
  if on_trial; then state=trial; fi
elif [[ -e $filter_file ]]; then
  state=gone
fi
mapfile -t names < <(others)
array "${names[@]}"; names_json=$REPLY
counted() { cat "/proc/sys/net/netfilter/nf_conntrack_$1" 2>/dev/null || echo 0; }
answer text "$text" leads: "{$leads}" live "$live" kept: "$kept" maintenance: "$maintenance" filter "$state" \
  others: "$names_json" connections: "$(connections)" tracked: "$(counted count)" most: "$(counted max)"
