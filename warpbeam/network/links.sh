#!/bin/bash
# Lists the connections between Erlang nodes as the kernel reports them: an app could claim any. Needs uid_of
# (listeners.sh).

# links APP USER PORT ...: the connections of USER's instances of APP from or to one of PORTs, as a JSON array, in
# REPLY. A program on this host that talks with an instance (a console, rpc) runs in another unit, and is left out.
links() {
  local app=$1 own found=() filter='' here there text slot port
  uid_of "$2"
  own=$REPLY
  shift 2
  for port; do filter+="${filter:+ or }sport = :$port or dport = :$port"; done
  while read -r _ _ here there text; do
    [[ " $text" == *" uid:$own "* ]] || continue
    # The kernel reports the control group since Linux 5.8.
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
