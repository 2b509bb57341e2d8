#!/bin/bash
# Reads, as root, what setup compares: once before it changes the host, and once more to check. Changes nothing. It also
# answers facts that show whether the deploy user may do more than its part here, or belongs to another app too.
#
# Parameters: users, paths (directories, and files that must be absent), files (PATH SUM SHOW, three items each: the
# text is answered if its sha256 is not SUM and SHOW is `text`, or `masked NAME ...` for an environment file of which
# only the values of NAMEs may be seen), key (of the digests that replace hidden values), units, cookie_file,
# cookie_variable (the cookie's name in that file), cookie_mark (a text in that file, unless other users could read the
# cookie), ledger (the checksums of what setup last wrote), programs (that setup needs), packages, app, app_user, root,
# helper, deploy (the user that may call the helper), admitted (root's tree, where admission is on). A value that a host
# does not have is empty.
: "${users[@]-}" "${paths[@]-}" "${files[@]-}" "${units[@]-}" "${programs[@]-}" "${packages[@]-}" "${cookie_file?}"
: "${cookie_variable?}" "${cookie_mark?}" "${key?}" "${ledger?}" "${app?}" "${app_user?}" "${root?}" "${helper?}"
: "${deploy?}" "${admitted?}"

# Bytes of a text that is answered: whole, or not at all.
limit=65536

check_host() {
  [[ -d /run/systemd/system ]] || refuse 'this host does not run systemd' 'Warpbeam runs apps as systemd units'
  ((EUID == 0)) || refuse 'setup must be root here' 'give the admin sudo, or see users.admin in the inventory'
}

# find_missing: puts the programs that setup needs and that are not here into `missing`.
find_missing() {
  local program
  missing=()
  for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
}

# find_installer: puts the program that installs packages here into `installer`.
find_installer() {
  installer=''
  # Look for both programs of a kind: Fedora has a package of dpkg-query, and Debian one of rpm. Ask for each alone:
  # `command -v` with two names succeeds if there is one of them.
  if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    installer=apt
  elif command -v dnf >/dev/null && command -v rpm >/dev/null; then
    installer=dnf
  fi
}

find_uninstalled() {
  local package
  uninstalled=()
  for package in "${packages[@]}"; do
    case $installer in
      apt) [[ $(dpkg-query --show --showformat='${db:Status-Status}' -- "$package" 2>/dev/null) == installed ]] ;;
      dnf) rpm --query --quiet --whatprovides -- "$package" >/dev/null 2>&1 ;;
      *) false ;;
    esac || uninstalled+=("$package")
  done
}

# find_users: puts a JSON member for each of `users` that exists into `found_users`.
find_users() {
  local today user entry uid home shell groups groups_json password expired shut manager hash expires
  printf -v today '%(%s)T' -1
  today=$((today / 86400))
  found_users=''
  for user in "${users[@]}"; do
    if entry=$(getent passwd -- "$user"); then
      IFS=: read -r _ _ uid _ _ home shell <<<"$entry"
      read -ra groups < <(id -Gn -- "$user")
      array "${groups[@]:1}"
      groups_json=$REPLY password=false expired=false shut=false manager=true
      # shadow(5): the second field is the password (`!` and `*`: none), the eighth is the day, counted from 1970, on
      # which the account expires.
      IFS=: read -r _ hash _ _ _ _ _ expires _ < <(getent shadow -- "$user") || true
      case ${hash-} in '!'* | '*'*) ;; *) password=true ;; esac
      if [[ -n ${expires-} ]] && ((expires > 0 && expires <= today)); then expired=true; fi
      # The day that setup sets to shut an account (evict.sh).
      if [[ ${expires-} == 1 ]]; then shut=true; fi
      [[ $(readlink -- "/etc/systemd/system/user@$uid.service" || true) != /dev/null ]] || manager=false
      object uid "$uid" home "$home" shell "$shell" group "${groups[0]}" groups: "$groups_json" password: "$password" \
        expired: "$expired" shut: "$shut" manager: "$manager"
      found_users+="${found_users:+,}\"$user\":$REPLY"
    fi
  done
}

# read_ledger: puts the checksums of what setup last wrote into `written`.
read_ledger() {
  local sum path
  declare -gA written=()
  if [[ -n $ledger && -f $ledger ]]; then
    while read -r sum path; do
      # Ignore a line that is not a checksum and a path.
      [[ ! $path == /* ]] || written[$path]=$sum
    done <"$ledger"
  fi
}

# content PATH: print at most its first MiB; do not follow a link. PATH may be a pipe by now: `nonblock` does not wait
# for it.
content() { "${reader[@]}" dd if="$1" iflag=nonblock,nofollow bs=1M count=1 status=none; }
# found PATH SUM SHOW: add the state of PATH to found_paths.
found() {
  local path=$1 mode owner group changed kind sum='' text=null show parent reader=()
  [[ -e $path || -L $path ]] || return 0
  read -r mode owner group changed kind < <(stat --printf='%a %U %G %Y %F\n' -- "$path")
  if [[ -f $path && ! -L $path ]]; then
    # In another user's directory the file may have been exchanged by now: read it as that user, and in the user's own
    # group, because a hard link to a foreign file has that file's group. The user's other processes may stop or end the
    # reader, so it has a time limit. A capability that the reader does not need keeps them from tracing it (ptrace(2)),
    # and so from answering in its place.
    parent=$(stat -c %U -- "${path%/*}")
    [[ $parent == root ]] ||
      reader=(timeout --signal=KILL 10 setpriv --reuid="$parent" --regid="$(id -g -- "$parent")" --clear-groups
        --no-new-privs --inh-caps=+net_bind_service --ambient-caps=+net_bind_service --)
    sum=$(content "$path" | sha256sum) || sum=unreadable
    sum=${sum%% *}
    if [[ -n $3 && $sum != "$2" && $sum != unreadable ]] && (($(stat -c %s -- "$path") <= limit)); then
      read -ra show <<<"$3"
      case ${show[0]} in
        text)
          # A text that could not be read is null, not empty.
          if text=$(content "$path" | tr -d '\0' && printf .); then quoted "${text%.}"; else REPLY=null; fi
          ;;
        masked)
          masked "$path" "$key" "${show[@]:1}"
          quoted "$REPLY"
          ;;
      esac
      text=$REPLY
    fi
  fi
  object kind "$kind" mode "$mode" owner "$owner" group "$group" sha256 "$sum" written "${written[$path]-}" \
    changed: "$changed" text: "$text"
  text=$REPLY
  quoted "$path"
  found_paths+="${found_paths:+,}$REPLY:$text"
}

find_paths() {
  local i path
  found_paths=''
  for path in "${paths[@]}"; do found "$path" '' ''; done
  for ((i = 0; i < ${#files[@]}; i += 3)); do found "${files[i]}" "${files[i + 1]}" "${files[i + 2]}"; done
}

find_enabled() {
  local unit
  enabled=()
  for unit in "${units[@]}"; do
    [[ $(systemctl is-enabled -- "$unit" 2>/dev/null) != enabled ]] || enabled+=("$unit")
  done
}

find_cookie() {
  cookie='' cookie_shown=false
  if [[ -n $cookie_file && -r $cookie_file ]]; then
    cookie=$(sed -n "s/^$cookie_variable=//p" -- "$cookie_file")
    [[ $cookie =~ ^[A-Za-z0-9_@.-]{0,255}$ ]] || refuse "what $cookie_file says is no cookie" \
      "remove that file on the host: the next setup gives it the others' cookie, or a new one"
    [[ -z $cookie || $(<"$cookie_file") == *"$cookie_mark"* ]] || cookie_shown=true
  fi
}

# find_belonging: puts the environment that set up this host before into `belongs`; empty where none has recorded its
# name.
find_belonging() {
  belongs=''
  if [[ -n $helper && -r ${helper%/*}/environment ]]; then belongs=$(<"${helper%/*}/environment"); fi
}

# find_started: puts the time when the live instance started into `started`, in seconds since the epoch; 0: none runs.
find_started() {
  local slot
  started=0
  if [[ -n $app ]]; then
    case $(readlink -- "$root/current" 2>/dev/null || true) in
      slots/a) slot=a ;;
      slots/b) slot=b ;;
      *) slot='' ;;
    esac
    if [[ -n $slot ]] && (($(systemctl show --property=MainPID --value -- "$app@$slot.service") > 0)); then
      started=$(systemctl show --property=ExecMainStartTimestamp --value -- "$app@$slot.service")
      started=$(date --date="$started" +%s)
    fi
  fi
}

# ask_helper: asks the helper's version as the deploy user does: this proves the sudo rule and the helper at once.
ask_helper() {
  version=''
  if [[ -n $helper && -x $helper ]] && id -u -- "$deploy" >/dev/null 2>&1; then
    version=$(cd / && timeout --signal=KILL 10 setpriv --reuid="$deploy" --regid="$deploy" --init-groups -- \
      sudo -n -- "$helper" version </dev/null 2>/dev/null) ||
      version=''
  fi
}

# find_rights: puts the entries of `sudo -l` for the deploy user into `rights`, and the roots of other apps that it owns
# into `shared`. sudo wraps long entries, so awk joins their lines.
find_rights() {
  local directory
  rights=() shared=()
  if id -u -- "$deploy" >/dev/null 2>&1; then
    if command -v sudo >/dev/null; then
      mapfile -t rights < <(sudo -n -l -U "$deploy" 2>/dev/null </dev/null | awk '
        !on { on = /may run the following commands/; next }
        /^ +\(/ { if (entry) print entry; entry = "" }
        { sub(/^ +/, ""); entry = entry (entry ? " " : "") $0 }
        END { if (entry) print entry }')
    fi
    for directory in /opt/*/*/; do
      directory=${directory%/}
      if [[ $directory != "$root" && ! -L $directory && (-d $directory/releases || -d $directory/build) &&
        $(stat -c %U -- "$directory") == "$deploy" ]]; then shared+=("$directory"); fi
    done
  fi
}

# find_ports: puts the ports at which the app listens into `bound`: its new unit may refuse them at the next start.
# Ports from the kernel's ephemeral range on are left out, because the kernel may have chosen them. `allowed` are the
# rules of the present unit.
find_ports() {
  local own chosen protocol address text listens
  bound=() allowed=() binds=false
  if [[ -n $app ]]; then
    mapfile -t allowed < <(sed -n 's/^SocketBindAllow=//p' -- "/lib/systemd/system/$app@.service" 2>/dev/null)
    own=$(id -u -- "$app_user" 2>/dev/null) || own=none
    read -r chosen _ </proc/sys/net/ipv4/ip_local_port_range
    while read -r protocol _ _ _ address text; do
      listens=$protocol:${address##*:}
      if [[ $text == *" uid:$own "* ]] && ((${address##*:} < chosen)); then bound+=("$listens"); fi
    done < <(ss -Hlntue)
    [[ $(systemctl --version) != *+BPF_FRAMEWORK* ]] || binds=true
  fi
}

# find_admission: puts the live release into `unadmitted`, where root has no copy that its slot starts, and the copies
# whose signatures do not count, other than what the live slot starts, into `discounted`.
find_admission() {
  local slot='' release slots reason
  unadmitted='' discounted=()
  if [[ -z $admitted ]]; then return 0; fi
  case $(readlink -- "$root/current" 2>/dev/null || true) in slots/a) slot=a ;; slots/b) slot=b ;; esac
  if [[ -n $slot && ! -d $admitted/$slot/.warpbeam ]]; then
    unadmitted=$(readlink -- "$root/slots/$slot" 2>/dev/null || true)
    unadmitted=${unadmitted##*/}
    [[ $unadmitted =~ ^[0-9]{8}T[0-9]{6}Z$ ]] || unadmitted=''
  fi
  if [[ -d $admitted && -x $helper ]]; then
    while read -r release slots reason; do
      if [[ -n $reason && (-z $slot || $slots != *$slot*) ]]; then discounted+=("$release"); fi
    done < <("$helper" admitted </dev/null 2>/dev/null)
  fi
}

main() {
  check_host
  find_missing
  find_installer
  find_uninstalled
  find_users
  read_ledger
  find_paths
  find_enabled
  find_cookie
  find_belonging
  find_started
  ask_helper
  find_rights
  ssh_port; port=$REPLY
  find_ports
  find_admission
  find_other_apps
  array "${discounted[@]}"; discounted_json=$REPLY
  array "${bound[@]}"; bound_json=$REPLY
  array "${allowed[@]}"; allowed_json=$REPLY
  array "${rights[@]}"; rights_json=$REPLY
  array "${shared[@]}"; shared_json=$REPLY
  array "${missing[@]}"; missing_json=$REPLY
  array "${uninstalled[@]}"; uninstalled_json=$REPLY
  array "${enabled[@]}"; enabled_json=$REPLY
  answer missing: "$missing_json" users: "{$found_users}" paths: "{$found_paths}" enabled: "$enabled_json" \
    cookie "$cookie" uninstalled: "$uninstalled_json" installer "$installer" started: "$started" helper "$version" \
    belongs "$belongs" rights: "$rights_json" shared: "$shared_json" ssh: "${port:-0}" bound: "$bound_json" \
    allowed: "$allowed_json" binds: "$binds" cookie_shown: "$cookie_shown" unadmitted "$unadmitted" \
    discounted: "$discounted_json" others: "[$other_apps]"
}

main
