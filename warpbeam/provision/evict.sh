#!/bin/bash
# Keeps a user out of the host while its keys change: it may not log in, and nothing of its runs. Otherwise whoever has
# a key that is taken away could undo that, or stop what is done in the user's name.

# The first day that shadow(5) has. A shell that is none, and no password, do not keep ssh from a user who can write its
# home: with a key there it forwards ports. An account that has expired is refused, by PAM and by sshd; systemd starts
# units of it as before.
long_ago=1970-01-02

# expiry_of USER: the day on which its account expires, counted from 1970, in REPLY; empty where it does not.
expiry_of() { IFS=: read -r _ _ _ _ _ _ _ REPLY _ < <(exec getent shadow -- "$1") || true; }

# processes_of UID: those that have that user's number in any of its places, but what has ended already. Not by pgrep: a
# process that hides what it is (prctl(2), PR_SET_DUMPABLE) looks like root's to whoever goes by the owner of /proc/PID.
processes_of() {
  local files
  files=$(printf '%s\0' /proc/[0-9]*/status | xargs -0 grep -lsE "^Uid:(.*[[:space:]])?$1([[:space:]]|\$)" |
    xargs -r grep -LsE '^State:[[:space:]]*[ZX]') || true
  files=${files//\/proc\//}
  mapfile -t processes < <(printf '%s' "${files//\/status/}")
}

# end_processes USER: false where something of its still runs after a hundred looks, two minutes at most.
end_processes() {
  local user=$1 uid round quiet=0 group whole
  uid=$(id -u -- "$user")
  [[ $uid != 0 && $uid != "${SUDO_UID-}" ]] ||
    fail "the processes of $user would be ended, and this is one of them" 'log in as another admin'
  group=/sys/fs/cgroup/user.slice/user-$uid.slice/cgroup.kill
  for round in {1..100}; do
    # All of its sessions at once, and one by one what is elsewhere: of those two, nothing of the user's can stop us.
    if [[ -e $group ]]; then { echo 1 >"$group"; } 2>/dev/null || true; fi
    processes_of "$uid"
    if ((${#processes[@]})); then kill -KILL "${processes[@]}" 2>/dev/null || true; fi
    # Then all that is left, in one moment of the kernel's (kill(2), -1): what multiplies fast enough is never seen by
    # whoever looks. That runs as the user; where another of its processes stopped it, it comes to no end, and the next
    # round has fewer of these.
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

# shut_out USER: until `let_in`, and nothing of its runs any more.
shut_out() {
  expiry_of "$1"
  shut_user=$1 shut_until=$REPLY
  # Left by a setup that did not come to its end.
  if [[ $shut_until == 1 ]]; then shut_until=''; fi
  usermod --expiredate "$long_ago" -- "$1"
  nothing_left "$1"
}
nothing_left() {
  end_processes "$1" ||
    fail "processes of $1 could not be ended: ${processes[*]}" 'look at them on the host, then run the same command again'
}

# let_in: as it was before.
let_in() {
  [[ -n ${shut_user-} ]] || return 0
  usermod --expiredate "${shut_until:+$(date --utc --date="1970-01-01 +$shut_until days" +%F)}" -- "$shut_user"
  shut_user=''
}

# kept_for USER: a directory that only root finds, for what was the user's, in REPLY.
kept_for() { printf -v REPLY '/var/lib/warpbeam/%s-%(%Y%m%dT%H%M%SZ)T' "$1" -1; }

# jobs_of USER: what cron and at would run for it by themselves is put where only root finds it, and told.
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

# login_files HOME: what the user's next login would run is named, where it is not what every new user has.
login_files() {
  local name found=()
  for name in .bashrc .bash_profile .bash_login .profile .bash_logout \
    .zshenv .zshrc .pam_environment .ssh/rc .ssh/environment; do
    # In its own directory a file of this name may be anything; nothing of its runs that could exchange it as we look.
    if [[ -L $1/$name || (-e $1/$name && ! -f $1/$name) ]] ||
      { [[ -e $1/$name ]] && ! cmp -s -- "$1/$name" "/etc/skel/$name"; }; then
      found+=("$name")
    fi
  done
  ((${#found[@]} == 0)) ||
    warn "$1 has files of its own that run at a login: ${found[*]}; who had the key may have written there"
}

# Directories of a home that hold the programs of a build (asdf, mise, and what they install). They take hours to make again.
readonly TOOLS=' .asdf .local .kerl .rustup .cargo .nvm .nodenv .volta .bun .deno .rbenv .pyenv .rye go bin '

# is_harmless PATH: a build neither runs it nor goes by it: keys, what every new user has, versions in plain digits.
is_harmless() {
  local name=${1##*/}
  case $name in
    .ssh | .netrc | .bash_history | .sudo_as_admin_successful | .lesshst) return 0 ;;
    .tool-versions)
      [[ -f $1 && ! -L $1 ]] && ! head -c 65536 -- "$1" | grep -Evxq '[a-z][a-z0-9_-]*([[:space:]]+[0-9][A-Za-z0-9.+_-]*)+[[:space:]]*|(#.*)?'
      ;;
    *) [[ -f $1 && ! -L $1 && -f /etc/skel/$name ]] && cmp -s -- "$1" "/etc/skel/$name" ;;
  esac
}

# put_away USER HOME BUILD: what the next build in BUILD would run or go by, and that user could write. What is made anew by a
# build is removed (BUILD), or moved to where only root finds it (of HOME); programs that are not are named. Nothing of the user's
# runs any more that could exchange it meanwhile.
put_away() {
  local user=$1 home=$2 build=$3 path name kept moved=() tools=()
  if [[ -d $build && ! -L $build ]]; then find "$build" -xdev -mindepth 1 -delete || rm -rf -- "${build:?}"/* || true; fi
  [[ -d $home && ! -L $home ]] || return 0
  kept_for "$user"
  kept=$REPLY
  while IFS= read -r -d '' path; do
    name=${path#"$home"/}
    if [[ $TOOLS == *" $name "* ]]; then
      tools+=("${name@Q}")
    elif ! is_harmless "$path"; then
      (umask 077 && mkdir -p -- "$kept/home/.ssh")
      # Where there is no room for it, it is gone: better than that it runs.
      mv -T -- "$path" "$kept/home/$name" || rm -rf -- "$path"
      moved+=("${name@Q}")
    fi
  done < <(find "$home" -mindepth 1 -maxdepth 1 -print0; exec find "$home/.ssh" -mindepth 1 -maxdepth 1 -name 'config*' -print0 2>/dev/null)
  ((${#moved[@]} == 0)) ||
    warn "$home: the next build would have gone by ${moved[*]}, which $user could write: that is in $kept/home now"
  ((${#tools[@]} == 0)) ||
    warn "$home: builds run programs in ${tools[*]}, which $user could change: if the key was in wrong hands, install them anew, or give the build host another \`users.deploy\`"
}
