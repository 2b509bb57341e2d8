#!/bin/bash
# Makes a host what setup's plan says, as root. Every part is idempotent; the plan holds only what differs.
#
# Parameters: packages, installer (apt or dnf), users (NAME HOME LOGIN, three items each), closed (users that are
# there and may not log in any more), opened (that may again), evicted (NAME HOME of users whose keys are taken away:
# what they run is ended first), build (where their builds are; empty: none), activation (the unit that runs as such a user;
# empty: none), unmanaged (users for whom
# systemd starts nothing at a login), directories (PATH MODE OWNER GROUP),
# files (PATH MODE OWNER GROUP NEEDS CONTENT), absent (files to remove), units to enable, overrides (directives of the
# inventory's own), ledger (where to note what was written), reconcile (the helper, where it must).
: "${users[@]-}" "${closed[@]-}" "${unmanaged[@]-}" "${directories[@]-}" "${files[@]-}" "${units[@]-}" "${reconcile?}" "${packages[@]-}" "${installer?}"
: "${absent[@]-}" "${overrides[@]-}" "${ledger?}" "${opened[@]-}" "${evicted[@]-}" "${build?}" "${activation?}"

work=''
trap 'let_in; [[ -z $work ]] || rm -rf -- "$work"' EXIT

# First, because it fails the likeliest, and packages bring users and directories of their own. needrestart must not
# restart the app in between (needrestart(1)).
if ((${#packages[@]})); then
  step packages
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  # In a directory that only root can write: anybody can put a link into /tmp, of a name that can be foreseen.
  work=$(mktemp -d)
  log=$work/log
  how='the same command goes on from here'
  case $installer in
    apt)
      apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold --no-install-recommends)
      shown "$log" "${apt[@]}" update || warn 'apt-get update failed; going on with the lists that are here'
      for package in "${packages[@]}"; do
        # apt-get takes a name with a dot that it does not know for a pattern, and installs whatever fits.
        apt-cache pkgnames -- "$package" | grep -Fx -- "$package" >/dev/null || fail "there is no package $package" "$how"
      done
      shown "$log" "${apt[@]}" install -- "${packages[@]}" || fail 'apt-get could not install the packages' "$how"
      ;;
    dnf)
      shown "$log" dnf -q -y --setopt=install_weak_deps=False install -- "${packages[@]}" ||
        fail 'dnf could not install the packages' "$how"
      ;;
  esac
fi

step users
for ((i = 0; i < ${#users[@]}; i += 3)); do
  name=${users[i]} home=${users[i + 1]} login=${users[i + 2]}
  if [[ $login == true ]]; then
    useradd --user-group --create-home --home-dir "$home" --shell /bin/bash -- "$name"
    # No password, but not locked either: sshd without PAM refuses keys for a locked account (sshd(8)).
    usermod --password '*' -- "$name"
  else
    useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin -- "$name"
    # Debian 13's useradd does not heed --expiredate for a system's user.
    closed+=("$name")
  fi
done

for name in "${closed[@]}"; do
  usermod --expiredate "$long_ago" -- "$name"
  # Sessions that it has: its units are elsewhere.
  systemctl kill --signal=KILL -- "user-$(id -u -- "$name").slice" 2>/dev/null || true
done
for name in "${opened[@]}"; do usermod --expiredate '' -- "$name"; done

for ((i = 0; i < ${#evicted[@]}; i += 2)); do
  step "end what ${evicted[i]} runs"
  if [[ -n $activation ]]; then
    # It undoes what it began, or ends it. One that does neither is ended, and then the helper reconciles (ExecStopPost=).
    timeout 120 systemctl stop -- "$activation" || systemctl kill --signal=KILL -- "$activation" || true
  fi
  shut_out "${evicted[i]}"
  jobs_of "${evicted[i]}"
  if [[ -n $build ]]; then put_away "${evicted[i]}" "${evicted[i + 1]}" "$build"; fi
done

# At a login systemd would start a manager for the user: 50 ms of the processor for each deploy, and a place where timers and
# services of that user's could hide. (A mask is a link to /dev/null, systemctl(1); one that runs ends.)
reload=false
for name in "${unmanaged[@]}"; do
  unit=user@$(id -u -- "$name").service
  ln -sfn -- /dev/null "/etc/systemd/system/$unit"
  systemctl stop -- "$unit"
  reload=true
done

# as OWNER GROUP COMMAND ...: a path below another user's directory is touched as that user only; as root, a link put there
# in the right moment would lead anywhere. In GROUP, because chmod(2) by an outsider drops the set-group-ID bit.
# Root's environment is not its. Other processes of that user may stop ours, or end it: it has a time, which root's own
# `timeout` keeps with a signal that works on what is stopped. A capability that is of no use here keeps them from
# tracing it (ptrace(2)).
as() {
  local owner=$1 group=$2 status=0
  shift 2
  if [[ $owner == root ]]; then
    "$@"
  else
    timeout --signal=KILL 30 setpriv --reuid="$owner" --regid="$group" --clear-groups --no-new-privs \
      --inh-caps=+net_bind_service --ambient-caps=+net_bind_service -- env -i PATH="$PATH" LC_ALL=C "$@" || status=$?
    ((status != 137)) ||
      printf '%s\n' "what is done as $owner was stopped or ended, or took longer than 30 s: look at the processes of $owner" >&2
    return "$status"
  fi
}

step directories
for ((i = 0; i < ${#directories[@]}; i += 4)); do
  path=${directories[i]} mode=${directories[i + 1]} owner=${directories[i + 2]} group=${directories[i + 3]}
  [[ ! -L $path ]] || fail "$path is a symbolic link; expected a directory" 'remove it on the host and run setup again'
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

# verified FILE PATH: what systemd says of FILE, as the unit that it is to be at PATH; fails where it does not understand a
# directive of the inventory's own. (That its program is not there yet is no complaint.)
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

# put PATH MODE NEEDS < CONTENT: write a new file beside PATH, check it, rename it over PATH.
put() {
  local path=$1 mode=$2 needs=$3 new=$1.warpbeam-new
  rm -f -- "$new"
  (umask 077 && set -C && cat >"$new")
  chmod "$mode" -- "$new"
  case $needs in
    visudo) visudo -cqf "$new" ;;
    nft) nft -c -f "$new" ;;
    verify*) verified "$new" "$path" ;;
  esac || {
    rm -f -- "$new"
    return 1
  }
  # What only had another mode keeps its time: the app need not be restarted for it. (A pipe must not be waited for.)
  if [[ -f $path ]] && dd if="$path" iflag=nonblock,nofollow status=none | cmp -s -- "$new" -; then touch --reference="$path" -- "$new"; fi
  sync -- "$new"
  mv -fT -- "$new" "$path"
}
# What the bash of another user, which gets no environment, needs of these.
parts=$(declare -f verified put)

step files
for ((i = 0; i < ${#files[@]}; i += 6)); do
  path=${files[i]} mode=${files[i + 1]} owner=${files[i + 2]} needs=${files[i + 4]}
  # Through a pipe: a here-string of some size would be a file in /tmp for a moment.
  # shellcheck disable=SC2016 # expanded by the inner bash
  words=$(as "$owner" "$owner" bash -euo pipefail -c "$parts
    overrides=(${overrides[*]@Q})
    "'put "$@"' put "$path" "$mode" "$needs" 2>&1 \
    < <(printf '%s' "${files[i + 5]}")) || {
    mapfile -t said <<<"$words"
    fail "$path could not be written, or its check failed" \
      'nothing after it was changed; the same command goes on from here' "${said[@]}"
  }
  # What was let pass, such as a directive of ours that an older systemd does not know, is told all the same.
  while IFS= read -r text; do [[ -z $text ]] || warn "$text"; done <<<"$words"
  [[ $needs != *daemon-reload* ]] || reload=true
done
# Removed as whoever owns the directory.
for path in "${absent[@]}"; do
  owner=$(stat -c %U -- "${path%/*}")
  as "$owner" "$owner" rm -f -- "$path"
done

# note PATHS: what was written there, so that the next setup can tell what was changed by hand since.
if [[ -n $ledger ]]; then
  declare -A sums=()
  if [[ -f $ledger ]]; then
    while read -r sum path; do
      if [[ -f $path ]]; then sums[$path]=$sum; fi
    done <"$ledger"
  fi
  for ((i = 0; i < ${#files[@]}; i += 6)); do
    # Of what was written, not of what is there by now: in another user's directory that may be a pipe, or a device.
    sum=$(printf '%s' "${files[i + 5]}" | sha256sum)
    sums[${files[i]}]=${sum%% *}
  done
  for path in "${!sums[@]}"; do printf '%s %s\n' "${sums[$path]}" "$path"; done | sort -k 2 | put "$ledger" 600 ''
fi

# Whoever had logged in just before is as little to change this as the others.
for ((i = 0; i < ${#evicted[@]}; i += 2)); do
  nothing_left "${evicted[i]}"
  login_files "${evicted[i + 1]}"
done
let_in

step units
if $reload; then systemctl daemon-reload; fi
for unit in "${units[@]}"; do
  systemctl enable --quiet -- "$unit"
  systemctl start -- "$unit"
done
if [[ -n $reconcile ]]; then "$reconcile" reconcile; fi
answer changed: true
