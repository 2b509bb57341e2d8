#!/bin/bash
# Keeps a user out of the host while its keys change: it cannot log in, and none of its processes runs. Otherwise the
# owner of a removed key could undo the removal, or stop commands that run as the user.

# The first day that shadow(5) can express. A nologin shell and a missing password are not enough: a user that can write
# its home can put a key there, and ssh forwards ports for it. PAM and sshd refuse an expired account; systemd still
# starts units that run as the user.
long_ago=1970-01-02

# expiry_of USER: the day on which the account expires, counted from 1970, in REPLY; empty: it never expires.
expiry_of() { IFS=: read -r _ _ _ _ _ _ _ REPLY _ < <(exec getent shadow -- "$1") || true; }

# processes_of UID: the live processes with UID as any of their user ids (the line `Uid:`), in `processes`. pgrep would
# miss some: /proc/PID of a process that is not dumpable (prctl(2), PR_SET_DUMPABLE) belongs to root.
processes_of() {
  local files
  files=$(printf '%s\0' /proc/[0-9]*/status | xargs -0 grep -lsE "^Uid:(.*[[:space:]])?$1([[:space:]]|\$)" |
    xargs -r grep -LsE '^State:[[:space:]]*[ZX]') || true
  files=${files//\/proc\//}
  mapfile -t processes < <(printf '%s' "${files//\/status/}")
}

# end_processes USER: kill the user's processes; return 1 if any still runs after a hundred rounds, two minutes at most.
end_processes() {
  local user=$1 uid round quiet=0 group whole
  uid=$(id -u -- "$user")
  [[ $uid != 0 && $uid != "${SUDO_UID-}" ]] ||
    fail "the processes of $user would be ended, and this is one of them" 'log in as another admin'
  group=/sys/fs/cgroup/user.slice/user-$uid.slice/cgroup.kill
  for round in {1..100}; do
    # Kill all sessions at once, and processes elsewhere one by one. The user's processes can stop neither of the two.
    if [[ -e $group ]]; then { echo 1 >"$group"; } 2>/dev/null || true; fi
    processes_of "$uid"
    if ((${#processes[@]})); then kill -KILL "${processes[@]}" 2>/dev/null || true; fi
    # Then kill all that is left by one system call (kill(2), -1): a list misses processes that fork fast enough. This
    # runs as the user. If another of the user's processes stops it, it times out, and the next round has fewer of them.
    whole=true
    timeout --signal=KILL 1 \
      setpriv --reuid="$uid" --regid="$uid" --clear-groups -- bash -c 'kill -KILL -1' 2>/dev/null || whole=false
    sleep 0.1
    processes_of "$uid"
    if [[ $whole == true ]] && ((${#processes[@]} == 0)); then quiet=$((quiet + 1)); else quiet=0; fi
    ((quiet < 2)) || return 0
  done
  return 1
}

# shut_out USER: keep the user out until `let_in`, and end its processes.
shut_out() {
  expiry_of "$1"
  shut_user=$1 shut_until=$REPLY
  # Day 1 is left from an interrupted setup: restore an account without an expiry date.
  if [[ $shut_until == 1 ]]; then shut_until=''; fi
  usermod --expiredate "$long_ago" -- "$1"
  nothing_left "$1"
}
nothing_left() {
  end_processes "$1" ||
    fail "processes of $1 could not be ended: ${processes[*]}" \
      'look at them on the host, then run the same command again'
}

# let_in: restore the expiry date that the account had before `shut_out`.
let_in() {
  [[ -n ${shut_user-} ]] || return 0
  usermod --expiredate "${shut_until:+$(date --utc --date="1970-01-01 +$shut_until days" +%F)}" -- "$shut_user"
  shut_user=''
}

# kept_for USER: the name of a directory for files taken from the user, which only root can read, in REPLY.
kept_for() { printf -v REPLY '/var/lib/warpbeam/%s-%(%Y%m%dT%H%M%SZ)T' "$1" -1; }

# jobs_of USER: move the user's jobs of cron and at to the directory of `kept_for`, and warn about each.
jobs_of() {
  local user=$1 uid kept file
  uid=$(id -u -- "$user")
  kept_for "$user"
  kept=$REPLY
  while IFS= read -r file; do
    (umask 077 && mkdir -p -- "$kept")
    mv -f -- "$file" "$kept/"
    warn "$file was $user's, and would have run by itself: it is in $kept now"
  done < <(
    for file in /var/spool/cron/crontabs/"$user" /var/spool/cron/"$user"; do
      if [[ -f $file ]]; then printf '%s\n' "$file"; fi
    done
    exec find /var/spool/cron/atjobs /var/spool/at -maxdepth 1 -type f -user "$uid" 2>/dev/null
  )
}

# The files that a login may run.
readonly LOGIN_FILES=(.bashrc .bash_profile .bash_login .profile .bash_logout
  .zshenv .zshrc .pam_environment .ssh/rc .ssh/environment)
# Files that programs of Warpbeam's commands run or obey: the Erlang VM, build tools, git and curl.
# shellcheck disable=SC2034 # for fresh_inodes.sh
readonly OBEYED_FILES=(.erlang .config/erlang/.erlang .tool-versions .netrc .ssh/config)

# login_files HOME: warn about the files that the user's next login would run, if they differ from those of a new user.
login_files() {
  local name found=()
  for name in "${LOGIN_FILES[@]}"; do
    # The user owns the directory, so the name may be a link, a directory or a pipe. No process of the user runs that
    # could exchange it during these checks.
    if [[ -L $1/$name || (-e $1/$name && ! -f $1/$name) ]] ||
      { [[ -e $1/$name ]] && ! cmp -s -- "$1/$name" "/etc/skel/$name"; }; then
      found+=("$name")
    fi
  done
  ((${#found[@]} == 0)) ||
    warn "$1 has files of its own that run at a login: ${found[*]}; who had the key may have written there"
}

# Directories of a home that hold build tools (asdf, mise, and what they install). Installing them again takes hours.
readonly TOOLS=' .asdf .local .kerl .rustup .cargo .nvm .nodenv .volta .bun .deno .rbenv .pyenv .rye go bin '

# is_harmless PATH: whether no build runs PATH or obeys it: keys, files as a new user has them, versions in plain
# digits.
is_harmless() {
  local name=${1##*/}
  case $name in
    .ssh | .netrc | .bash_history | .sudo_as_admin_successful | .lesshst) return 0 ;;
    .tool-versions)
      [[ -f $1 && ! -L $1 ]] &&
        ! head -c 65536 -- "$1" | grep -Evxq '[a-z][a-z0-9_-]*([[:space:]]+[0-9][A-Za-z0-9.+_-]*)+[[:space:]]*|(#.*)?'
      ;;
    *) [[ -f $1 && ! -L $1 && -f /etc/skel/$name ]] && cmp -s -- "$1" "/etc/skel/$name" ;;
  esac
}

# put_away USER HOME BUILD: keep the next build from files that the user could write and the build would run or obey.
# The content of BUILD is deleted, because a build makes it anew. Files of HOME are moved to the directory of
# `kept_for`. Build tools stay, and a warning names them. No process of the user runs that could exchange files
# meanwhile.
put_away() {
  local user=$1 home=$2 build=$3 path name kept moved=() tools=()
  if [[ -d $build && ! -L $build ]]; then
    find "$build" -xdev -mindepth 1 -delete || rm -rf -- "${build:?}"/* || true
  fi
  [[ -d $home && ! -L $home ]] || return 0
  kept_for "$user"
  kept=$REPLY
  while IFS= read -r -d '' path; do
    name=${path#"$home"/}
    if [[ $TOOLS == *" $name "* ]]; then
      tools+=("${name@Q}")
    elif ! is_harmless "$path"; then
      (umask 077 && mkdir -p -- "$kept/home/.ssh")
      # On a full disk the file is deleted: that is better than a build that runs it.
      mv -T -- "$path" "$kept/home/$name" || rm -rf -- "$path"
      moved+=("${name@Q}")
    fi
  done < <(
    find "$home" -mindepth 1 -maxdepth 1 -print0
    exec find "$home/.ssh" -mindepth 1 -maxdepth 1 -name 'config*' -print0 2>/dev/null
  )
  ((${#moved[@]} == 0)) ||
    warn "$home: the next build would have gone by ${moved[*]}, which $user could write: that is in $kept/home now"
  local advice='if the key was in wrong hands, install them anew, or give the build host another `users.deploy`'
  ((${#tools[@]} == 0)) ||
    warn "$home: builds run programs in ${tools[*]}, which $user could change: $advice"
}
