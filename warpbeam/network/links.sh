#!/bin/bash
# Which Erlang nodes are connected with which, by the kernel's word: an app may say what it likes. Needs uid_of (listeners.sh).

# links APP USER PORT ...: the connections from or to one of the ports that USER's instances of APP have, as a JSON array, in
# REPLY. What talks with an instance from this host for a while (a console, rpc) is in another unit, and left out.
links() {
  local app=$1 own found=() filter='' here there text slot port
  uid_of "$2"
  own=$REPLY
  shift 2
  for port; do filter+="${filter:+ or }sport = :$port or dport = :$port"; done
  while read -r _ _ here there text; do
    [[ " $text" == *" uid:$own "* ]] || continue
    # The kernel tells the control group since Linux 5.8.
    slot=''
    if [[ $text =~ cgroup:([^ ]*) ]]; then
      [[ ${BASH_REMATCH[1]} =~ /"$app"@([ab])\.service$ ]] || continue
      slot=${BASH_REMATCH[1]}
    fi
    object slot "$slot" here "$here" there "$there"
    found+=("$REPLY")
  done < <(ss -Htne state established "( $filter )" | head -n 1000)
  local IFS=,
  REPLY="[${found[*]}]"
}
