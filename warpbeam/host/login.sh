#!/bin/bash
# Finds out how the caller logged in to the host.

# ssh_port: the server port of the ssh connection in which this runs, in REPLY; empty where there is none. sudo does not
# pass SSH_CONNECTION on, but a parent process still has the variable.
ssh_port() {
  local pid=$$ key value pair
  while ((pid > 1)); do
    while IFS= read -r -d '' pair; do
      if [[ $pair =~ ^SSH_CONNECTION=.*\ ([0-9]+)$ ]]; then
        REPLY=${BASH_REMATCH[1]}
        return 0
      fi
    done 2>/dev/null <"/proc/$pid/environ" || true
    value=0
    while read -r key value; do
      if [[ $key == PPid: ]]; then break; fi
    done 2>/dev/null <"/proc/$pid/status" || true
    pid=${value:-0}
  done
  REPLY=''
}
