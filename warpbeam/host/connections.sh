#!/bin/bash
# How many clients an instance has.
#
# Parameters: ports (that the instances in slot a and b serve, in pairs).
: "${ports?}"

# connections SLOT: how many are connected to its instance, on any of its ports, or about to be, in REPLY.
connections() {
  local i first=0 any='' lines
  [[ $1 == a ]] || first=1
  for ((i = first; i < ${#ports[@]}; i += 2)); do any+="${any:+ or }sport = :${ports[i]}"; done
  mapfile -t lines < <(ss -Htn state established state syn-recv "( $any )")
  REPLY=${#lines[@]}
}

# drained SLOT SECONDS: waits until nobody is, so long at most; how many still are, in REPLY.
drained() {
  local began left
  uptime_seconds
  began=$REPLY
  # `<=`: those are whole ones, and a drain is never shorter than was promised.
  while connections "$1" && left=$REPLY && since "$began" && ((left > 0 && REPLY <= $2)); do pause 0.2; done
  REPLY=$left
}

# unheard: how many clients' first packets the kernel has dropped so far because a queue was full. Such a client knocks again
# after one, two and four seconds more (RFC 6298), and connection tracking leads it to the slot where it knocked first; `ss`
# shows nothing of it meanwhile. If the old instance were gone by then, it would be refused.
unheard() {
  awk '$1 != "TcpExt:" { next }
    !names { names = split($0, name); next }
    { for (i = 2; i <= names; i++) if (name[i] == "ListenDrops" || name[i] == "SyncookiesSent") sum += $i }
    END { printf "%d\n", sum }' /proc/net/netstat || echo 0
}
