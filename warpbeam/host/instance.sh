#!/bin/bash
# Checks whether a slot still has the same instance.
#
# An instance is known by its main process. The kernel answers which one that is without a process; where it hides the
# processes of other users (proc(5), hidepid), systemd answers.
#
# Parameters: app.
: "${app?}"

# remember_instance SLOT: remember the slot's instance: set pid and birth (its start time, in the kernel's ticks; empty
# where that is hidden). If the instance ends between the two reads, `is_running` is false.
remember_instance() {
  main_process "$1" || pid=$(exec systemctl show --property=MainPID --value -- "$app@$1.service")
  birth_of "$pid"
  birth=$REPLY
}

# main_process SLOT: set pid from the unit's control group: the main process is the first one there whose parent is
# systemd. False where that cannot be read (cgroups v1, a slice of its own, hidepid), or where there is none.
main_process() {
  while read -r pid; do
    if stat_of "$pid" && [[ ${fields[1]-} == 1 ]]; then return 0; fi
  done 2>/dev/null <"/sys/fs/cgroup/system.slice/system-$app.slice/$app@$1.service/cgroup.procs"
  return 1
}

# stat_of PID: the fields of /proc/PID/stat after the process's name, in `fields`. The name may hold any character, a
# line end too, in parentheses (proc(5)).
stat_of() {
  local line=''
  fields=()
  { IFS= read -r -d '' line <"/proc/$1/stat" || [[ -n $line ]]; } 2>/dev/null || return 1
  read -r -a fields <<<"${line##*) }"
}
birth_of() {
  stat_of "$1" || true
  REPLY=${fields[19]-}
}
# is_running SLOT: whether the slot still has the instance that `remember_instance` remembered.
is_running() {
  if [[ -n $birth ]]; then
    birth_of "$pid"
    [[ $REPLY == "$birth" ]]
  else
    ((pid > 0)) && [[ $(exec systemctl show --property=MainPID --value -- "$app@$1.service") == "$pid" ]]
  fi
}

# shows_cookie PID: whether the process's arguments, which every user of the host can read, hold a cookie, from whatever
# source (vm.args, a file that it includes, env.sh). Count and length of the words are bounded: a process may make its
# arguments as long as it likes.
shows_cookie() {
  local word number=0
  while ((number++ < 1000)) && IFS= read -r -d '' -n 4096 word; do
    if [[ $word == -setcookie ]]; then return 0; fi
  done 2>/dev/null <"/proc/$1/cmdline"
  return 1
}
