#!/bin/bash
# Who listens at a port: a number is no identity, since where the app does not listen any user of the host can. The root
# helper contains this too.

# uid_of USER: its number, in REPLY. From the file where setup has put it, without a process.
uid_of() {
  local name
  while IFS=: read -r name _ REPLY _; do
    if [[ $name == "$1" ]]; then return 0; fi
  done </etc/passwd
  REPLY=$(exec id -u -- "$1")
}

# strangers USER UNIT PORT ...: who listens at one of the ports, at any address, and is not USER's process in UNIT, in
# words, in REPLY (empty: nobody). `listening` is how many sockets listen there, and `places` has each one's port and
# address. A control group alone proves nothing, because any user can have a unit of that name in a systemd of its own;
# the kernel tells it since Linux 5.8. (`ss -l` would have the kernel go through all connections of the host besides.)
strangers() {
  local user=$1 unit=$2 own filter='' address text number port
  shift 2
  for port; do filter+="${filter:+ or }sport = :$port"; done
  uid_of "$user"
  own=$REPLY
  REPLY='' listening=0 places=()
  while read -r _ _ address text; do
    listening=$((listening + 1)) port=${address##*:}
    places+=("$port ${address%:*}")
    # ss leaves out root's.
    number=0
    if [[ $text =~ \ uid:([0-9]+)\  ]]; then number=${BASH_REMATCH[1]}; fi
    if [[ $number != "$own" ]]; then
      REPLY="port $port is held by another user (uid $number), not by $user"
      return 0
    fi
    if [[ $text =~ \ cgroup:(/[^ ]*) && ${BASH_REMATCH[1]##*/} != "$unit" ]]; then
      REPLY="port $port is held by a process of $user in ${BASH_REMATCH[1]}, not in $unit"
      return 0
    fi
  done < <(exec ss -Htne state listening "( $filter )")
}
