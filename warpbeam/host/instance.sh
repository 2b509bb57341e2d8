#!/bin/bash
# Whether the instance in a slot is still the one that it was.
#
# An instance is known by its main process: asked of the kernel, which costs nothing. Where that hides other users' processes
# (proc(5), hidepid), of systemd.
#
# Parameters: app.
: "${app?}"

# meet SLOT: sets pid and birth (when it was started, in the kernel's count; empty where that is hidden). Should systemd have started
# it again since, that one's end will be seen.
meet() {
  main_process "$1" || pid=$(exec systemctl show --property=MainPID --value -- "$app@$1.service")
  birth_of "$pid"
  birth=$REPLY
}

# main_process SLOT: sets pid, from the unit's control group: of those in it, the main process is the first that is systemd's own
# child. False: that cannot be told (cgroups v1, a slice of its own, hidepid), or there is none.
main_process() {
  while read -r pid; do
    if stat_of "$pid" && [[ ${fields[1]} == 1 ]]; then return 0; fi
  done 2>/dev/null <"/sys/fs/cgroup/system.slice/system-$app.slice/$app@$1.service/cgroup.procs"
  return 1
}

# stat_of PID: what /proc/PID/stat says after the process's name, which has any character in parentheses (proc(5)), in fields.
stat_of() {
  local line=''
  fields=()
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -r -a fields <<<"${line##*) }"
}
birth_of() {
  stat_of "$1" || true
  REPLY=${fields[19]-}
}
# lives SLOT: whether it is still the instance that was met there.
lives() {
  if [[ -n $birth ]]; then
    birth_of "$pid"
    [[ $REPLY == "$birth" ]]
  else
    ((pid > 0)) && [[ $(exec systemctl show --property=MainPID --value -- "$app@$1.service") == "$pid" ]]
  fi
}

# shows_cookie PID: whether its arguments have one, which every user of the host can read; wherever it came from (vm.args, what that
# includes, env.sh). A process may make its arguments as long as it likes.
shows_cookie() {
  local word number=0
  while ((number++ < 1000)) && IFS= read -r -d '' -n 4096 word; do
    if [[ $word == -setcookie ]]; then return 0; fi
  done 2>/dev/null <"/proc/$1/cmdline"
  return 1
}
