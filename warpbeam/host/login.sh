#!/bin/bash
# How whoever runs this came to the host.

# ssh_port: the port that the ssh connection which this runs in came to, in REPLY; empty where it is no such connection. sudo passes
# no SSH_CONNECTION on, but whoever called it has one.
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
