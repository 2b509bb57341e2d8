#!/bin/bash
# Applies setup's plan to a host, as root. Every part is idempotent; the plan holds only what differs.
#
# Parameters: packages (to install), installer (apt or dnf), users (to create: NAME HOME LOGIN, three items each),
# closed (existing users to shut out by an expiry date), opened (users to let in again), evicted (users whose keys are
# removed: NAME HOME, two items each; their processes are ended first), build (the directory of their builds; empty:
# none), activation (the unit that runs as such a user; empty: none), unmanaged (users whose systemd manager is to be
# masked), directories (PATH MODE OWNER GROUP, four items each), files (PATH MODE OWNER GROUP NEEDS CONTENT, six items
# each), absent (files to remove), units (to enable and start), overrides (unit directives that the inventory sets),
# ledger (the file that records the checksums of what setup wrote; empty: none), reconcile (the helper, if it must
# reconcile; or empty), those of fresh_inodes.sh.
: "${users[@]-}" "${closed[@]-}" "${unmanaged[@]-}" "${directories[@]-}" "${files[@]-}" "${units[@]-}"
: "${reconcile?}" "${packages[@]-}" "${installer?}" "${absent[@]-}" "${overrides[@]-}" "${ledger?}" "${opened[@]-}"
: "${evicted[@]-}" "${build?}" "${activation?}"

work='' reload=false
trap 'let_in; [[ -z $work ]] || rm -rf -- "$work"' EXIT

# install_packages: NEEDRESTART_SUSPEND keeps needrestart from restarting the app meanwhile (needrestart(1)).
install_packages() {
  local log how package
  local -a apt
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  # The log is in a directory that only root can write: any user can put a link with a predictable name into /tmp.
  work=$(mktemp -d)
  log=$work/log
  how='the same command goes on from here'
  case $installer in
    apt)
      # Without Use-Pty=0, the lines of dpkg end as those of a terminal do.
      apt=(apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold)
      apt+=(--no-install-recommends)
      shown "$log" "${apt[@]}" update || warn 'apt-get update failed; going on with the lists that are here'
      for package in "${packages[@]}"; do
        # apt-get takes an unknown name with a dot for a pattern, and installs every package that matches it.
        apt-cache pkgnames -- "$package" | grep -Fx -- "$package" >/dev/null ||
          fail "there is no package $package" "$how"
      done
      shown "$log" "${apt[@]}" install -- "${packages[@]}" || fail 'apt-get could not install the packages' "$how"
      ;;
    dnf)
      shown "$log" dnf -q -y --setopt=install_weak_deps=False install -- "${packages[@]}" ||
        fail 'dnf could not install the packages' "$how"
      ;;
  esac
}

make_users() {
  local i name home login
  for ((i = 0; i < ${#users[@]}; i += 3)); do
    name=${users[i]} home=${users[i + 1]} login=${users[i + 2]}
    if [[ $login == true ]]; then
      useradd --user-group --create-home --home-dir "$home" --shell /bin/bash -- "$name"
      # No password, but not locked either: sshd without PAM refuses keys for a locked account (sshd(8)).
      usermod --password '*' -- "$name"
    else
      useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin -- "$name"
      # Debian 13's useradd ignores --expiredate for a system user.
      closed+=("$name")
    fi
  done
}

close_and_open_users() {
  local name
  for name in "${closed[@]}"; do
    usermod --expiredate "$long_ago" -- "$name"
    # End the user's sessions. Its units are in another slice, and go on.
    systemctl kill --signal=KILL -- "user-$(id -u -- "$name").slice" 2>/dev/null || true
  done
  for name in "${opened[@]}"; do usermod --expiredate '' -- "$name"; done
}

# evict_users: ends what users run whose keys change, and keeps them out until `let_in`.
evict_users() {
  local i
  for ((i = 0; i < ${#evicted[@]}; i += 2)); do
    step "end what ${evicted[i]} runs"
    if [[ -n $activation ]]; then
      # A stopped activation undoes or completes its work. After 120 s it is killed, and the helper reconciles
      # (ExecStopPost=).
      timeout 120 systemctl stop -- "$activation" || systemctl kill --signal=KILL -- "$activation" || true
    fi
    shut_out "${evicted[i]}"
    jobs_of "${evicted[i]}"
    if [[ -n $build ]]; then put_away "${evicted[i]}" "${evicted[i + 1]}" "$build"; fi
  done
}

# renew_files: gives the files of users whose keys change new inodes. Before their keys are written: if this fails, the
# next setup does all of it again.
renew_files() {
  local i
  for ((i = 0; i < ${#evicted[@]}; i += 2)); do
    nothing_left "${evicted[i]}"
    renew "${evicted[@]:i:2}"
  done
}

# mask_managers: at a login systemd would start a manager for the user. It costs 50 ms of processor time for each
# deploy, and timers and services of the user's could hide in it. A mask is a link to /dev/null (systemctl(1)); `stop`
# ends a running manager.
mask_managers() {
  local name unit
  for name in "${unmanaged[@]}"; do
    unit=user@$(id -u -- "$name").service
    ln -sfn -- /dev/null "/etc/systemd/system/$unit"
    systemctl stop -- "$unit"
    reload=true
  done
}

# as OWNER GROUP COMMAND ...: run COMMAND as OWNER. Paths below another user's directory are touched as that user only:
# as root, a link that the user puts there at the right moment would lead anywhere. COMMAND runs in GROUP, because
# chmod(2) by a user outside a file's group drops the set-group-ID bit. It does not get root's environment. Other
# processes of the user may stop or end COMMAND: root's `timeout` limits it, with a signal that works on a stopped
# process. A capability that COMMAND does not need keeps those processes from tracing it (ptrace(2)).
as() {
  local owner=$1 group=$2 status=0
  shift 2
  if [[ $owner == root ]]; then
    "$@"
  else
    timeout --signal=KILL 30 setpriv --reuid="$owner" --regid="$group" --clear-groups --no-new-privs \
      --inh-caps=+net_bind_service --ambient-caps=+net_bind_service -- env -i PATH="$PATH" LC_ALL=C "$@" || status=$?
    ((status != 137)) ||
      printf '%s\n' \
        "what is done as $owner was stopped or ended, or took longer than 30 s: look at the processes of $owner" >&2
    return "$status"
  fi
}

make_directories() {
  local i path mode owner group parent
  for ((i = 0; i < ${#directories[@]}; i += 4)); do
    path=${directories[i]} mode=${directories[i + 1]} owner=${directories[i + 2]} group=${directories[i + 3]}
    [[ ! -L $path ]] ||
      fail "$path is a symbolic link; expected a directory" 'remove it on the host and run setup again'
    parent=$(stat -c %U -- "${path%/*}")
    as "$parent" "$group" mkdir -p -- "$path"
    if [[ $parent == root ]]; then
      chown --no-dereference "$owner:$group" -- "$path"
      chmod "$mode" -- "$path"
    elif [[ $(stat -c %U -- "$path") == "$owner" ]]; then
      as "$owner" "$group" chgrp --no-dereference "$group" -- "$path"
      as "$owner" "$group" chmod "$mode" -- "$path"
    else
      fail "$path belongs to $(stat -c %U -- "$path"); expected $owner" 'chown it on the host and run setup again'
    fi
  done
}

# verified FILE PATH: print systemd's complaints about FILE as the unit at PATH; fail if one names a directive that the
# inventory sets. A missing program is no complaint: setup may write it later.
verified() {
  local directory unit complaints directive
  unit=${2##*/}
  unit=${unit/@./@a.}
  directory=$(mktemp -d)
  cp -- "$1" "$directory/$unit"
  complaints=$({ systemd-analyze verify --man=no --recursive-errors=no "$directory/$unit" 2>&1 || true; } |
    grep -F -- "$unit:" | grep -Fv 'is not executable') || complaints=''
  rm -rf -- "$directory"
  [[ -n $complaints ]] || return 0
  printf '%s\n' "${complaints//"$directory/"/}" >&2
  for directive in "${overrides[@]}"; do
    [[ $complaints != *"$directive"* ]] || return 1
  done
}

# put PATH MODE NEEDS GROUP < CONTENT: write a new file beside PATH, check it, rename it over PATH.
put() {
  local path=$1 mode=$2 needs=$3 group=$4 new=$1.warpbeam-new
  rm -f -- "$new"
  (umask 077 && set -C && cat >"$new")
  # Before the mode, which may open the file to the group.
  [[ $(stat -c %G -- "$new") == "$group" ]] || chgrp -- "$group" "$new"
  chmod "$mode" -- "$new"
  case $needs in
    visudo) visudo -cqf "$new" ;;
    nft) nft -c -f "$new" ;;
    verify*) verified "$new" "$path" ;;
  esac || {
    rm -f -- "$new"
    return 1
  }
  # A file of the same content keeps its time, so that the app need not be restarted. `nonblock`: a pipe must not block
  # dd.
  if [[ -f $path ]] && dd if="$path" iflag=nonblock,nofollow status=none | cmp -s -- "$new" -; then
    touch --reference="$path" -- "$new"
  fi
  sync -- "$new"
  mv -fT -- "$new" "$path"
}

write_files() {
  local i path mode owner group needs words text said parts
  # Functions for the bash that runs as another user: it gets an empty environment.
  parts=$(declare -f verified put)
  for ((i = 0; i < ${#files[@]}; i += 6)); do
    path=${files[i]} mode=${files[i + 1]} owner=${files[i + 2]} group=${files[i + 3]} needs=${files[i + 4]}
    # The content goes through a pipe: bash would put a large here-string into a file in /tmp for a moment.
    # shellcheck disable=SC2016 # expanded by the inner bash
    words=$(as "$owner" "$owner" bash -euo pipefail -c "$parts
      overrides=(${overrides[*]@Q})
      "'put "$@"' put "$path" "$mode" "$needs" "$group" 2>&1 \
      < <(printf '%s' "${files[i + 5]}")) || {
      mapfile -t said <<<"$words"
      fail "$path could not be written, or its check failed" \
        'nothing after it was changed; the same command goes on from here' "${said[@]}"
    }
    # Show complaints that did not fail the check, such as one about Warpbeam's own directive that an older systemd
    # ignores.
    while IFS= read -r text; do [[ -z $text ]] || warn "$text"; done <<<"$words"
    [[ $needs != *daemon-reload* ]] || reload=true
  done
}

# remove_files: removes files as the owner of their directory.
remove_files() {
  local path owner
  for path in "${absent[@]}"; do
    owner=$(stat -c %U -- "${path%/*}")
    as "$owner" "$owner" rm -f -- "$path"
  done
}

# record_sums: records the checksums of the written files, so that the next setup recognizes later changes by hand.
record_sums() {
  local i sum path
  local -A sums=()
  if [[ -f $ledger ]]; then
    while read -r sum path; do
      if [[ -f $path ]]; then sums[$path]=$sum; fi
    done <"$ledger"
  fi
  for ((i = 0; i < ${#files[@]}; i += 6)); do
    # Take the checksum of the text, not of the file: in another user's directory it may be a pipe or a device by now.
    sum=$(printf '%s' "${files[i + 5]}" | sha256sum)
    sums[${files[i]}]=${sum%% *}
  done
  for path in "${!sums[@]}"; do printf '%s %s\n' "${sums[$path]}" "$path"; done | sort -k 2 | put "$ledger" 600 '' root
}

# check_evicted: a login that began just before `shut_out` may have started processes since. They must not undo the
# change either.
check_evicted() {
  local i
  for ((i = 0; i < ${#evicted[@]}; i += 2)); do
    nothing_left "${evicted[i]}"
    login_files "${evicted[i + 1]}"
  done
}

start_units() {
  local unit
  if $reload; then systemctl daemon-reload; fi
  for unit in "${units[@]}"; do
    systemctl enable --quiet -- "$unit"
    systemctl start -- "$unit"
  done
}

main() {
  # Packages come first: this step is the likeliest to fail, and packages create users and directories.
  if ((${#packages[@]})); then
    step packages
    install_packages
  fi
  step users
  make_users
  close_and_open_users
  evict_users
  mask_managers
  step directories
  make_directories
  renew_files
  step files
  write_files
  remove_files
  if [[ -n $ledger ]]; then record_sums; fi
  check_evicted
  let_in
  step units
  start_units
  if [[ -n $reconcile ]]; then "$reconcile" reconcile; fi
  answer changed: true
}

main
