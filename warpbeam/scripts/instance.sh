#!/bin/bash
# Whether the instance in a slot is still the one that it was.
#
# An instance is known by its main process: asked of systemd once after its start, and from then on of the kernel, which costs
# nothing. Where the kernel hides other users' processes (proc(5), hidepid), of systemd each time.
#
# Parameters: app.
: "${app?}"

# meet SLOT: sets pid, birth (when it was started, in the kernel's count; empty where that is hidden), and restarts.
meet() {
  local key value
  pid=0 restarts=0
  while IFS='=' read -r key value; do
    if [[ $key == MainPID ]]; then pid=$value; else restarts=$value; fi
  done < <(exec systemctl show --property=MainPID,NRestarts -- "$app@$1.service")
  birth_of "$pid"
  birth=$REPLY
}
birth_of() {
  local line='' fields=()
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || true
  # The second field is a name, with any character in parentheses (proc(5)).
  read -r -a fields <<<"${line##*) }"
  REPLY=${fields[19]-}
}
# lives SLOT: whether it is still the instance that was met there.
lives() {
  if [[ -n $birth ]]; then
    birth_of "$pid"
    [[ $REPLY == "$birth" ]]
  else
    ((pid > 0)) && [[ $(systemctl show --property=MainPID --value -- "$app@$1.service") == "$pid" ]]
  fi
}
