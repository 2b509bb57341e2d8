#!/bin/bash
# Finds out who listens at a port. A port's number identifies nobody: where the app does not listen, any user of the
# host can. The privileged helper contains this file too.

# uid_of USER: the user's number, in REPLY, from the file into which setup wrote the user; this needs no process.
uid_of() {
  local name
  while IFS=: read -r name _ REPLY _; do
    if [[ $name == "$1" ]]; then return 0; fi
  done </etc/passwd
  REPLY=$(exec id -u -- "$1")
}

# user_of NUMBER: the user with that number, for people, in REPLY: `ann, uid 1003`, or the number alone.
user_of() {
  local name number
  while IFS=: read -r name _ number _; do
    if [[ $number == "$1" ]]; then
      REPLY="$name, uid $1"
      return 0
    fi
  done </etc/passwd
  REPLY="uid $1"
}

# strangers USER UNIT PORT ...: a sentence about the first listener at one of the ports, at any address, that is not
# USER's process in UNIT, in REPLY (empty: nobody). `listening` is the number of sockets that listen there, `places` has
# the port and address of each. A control group alone proves nothing, because any user can have a unit of that name in
# a systemd instance of their own; the kernel reports it since Linux 5.8. (`ss -l` would have the kernel walk all
# connections of the host.)
strangers() {
  local user=$1 unit=$2 own filter='' address text number port
  shift 2
  REPLY='' listening=0 places=()
  if (($# == 0)); then return 0; fi
  for port; do filter+="${filter:+ or }sport = :$port"; done
  uid_of "$user"
  own=$REPLY
  REPLY=''
  while read -r _ _ address text; do
    listening=$((listening + 1)) port=${address##*:}
    places+=("$port ${address%:*}")
    # ss omits the uid of root.
    number=0
    if [[ $text =~ \ uid:([0-9]+)\  ]]; then number=${BASH_REMATCH[1]}; fi
    if [[ $number != "$own" ]]; then
      user_of "$number"
      REPLY="port $port is held by another user ($REPLY), not by $user"
      return 0
    fi
    if [[ $text =~ \ cgroup:(/[^ ]*) && ${BASH_REMATCH[1]##*/} != "$unit" ]]; then
      REPLY="port $port is held by a process of $user in ${BASH_REMATCH[1]}, not in $unit"
      return 0
    fi
  done < <(exec ss -Htne state listening "( $filter )")
}
