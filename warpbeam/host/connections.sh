#!/bin/bash
# Counts the clients of an instance.
#
# Parameters: ports (of the instances in slot a and b, in pairs).
: "${ports[@]-}"

# connections SLOT: the number of connections to the slot's instance, on any of its ports, open or opening, in REPLY.
connections() {
  local i first=0 any='' lines
  [[ $1 == a ]] || first=1
  REPLY=0
  if ((${#ports[@]} == 0)); then return 0; fi
  for ((i = first; i < ${#ports[@]}; i += 2)); do any+="${any:+ or }sport = :${ports[i]}"; done
  mapfile -t lines < <(ss -Htn state established state syn-recv "( $any )")
  REPLY=${#lines[@]}
}

# drained SLOT SECONDS: wait until the slot's instance has no connections, for at most SECONDS; the number of those
# left, in REPLY.
drained() {
  local began left
  uptime_seconds
  began=$REPLY
  # `<=`: `since` counts whole seconds, and a drain must not be shorter than the user was promised.
  while connections "$1" && left=$REPLY && since "$began" && ((left > 0 && REPLY <= $2)); do pause 0.2; done
  REPLY=$left
}

# listen_drops: print how many clients' first packets the kernel has dropped so far because a queue was full. Such a
# client sends again after one, two and four seconds more (RFC 6298), and connection tracking leads it to the slot of
# its first packet. `ss` does not show it meanwhile. If the old instance were gone by then, the client would be refused.
listen_drops() {
  awk '$1 != "TcpExt:" { next }
    !names { names = split($0, name); next }
    { for (i = 2; i <= names; i++) if (name[i] == "ListenDrops" || name[i] == "SyncookiesSent") sum += $i }
    END { printf "%d\n", sum }' /proc/net/netstat || echo 0
}
