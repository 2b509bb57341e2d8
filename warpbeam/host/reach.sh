#!/bin/bash
# Judges whether clients reach what listens at a port. The redirect leads a client from outside to the first address of
# the interface by which it arrives, and a client on this host to loopback (nft(8), REDIRECT).

# outward: the addresses by which other hosts reach this one, in outward4 and outward6 (empty: there is none).
outward() {
  local i family address
  outward4='' outward6=''
  # Addresses for documentation (RFC 5737, RFC 3849): packets to them take the default route.
  if sent_from udp 192.0.2.1 010200C0; then
    printf -v outward4 '%d.%d.%d.%d' "0x${REPLY:6:2}" "0x${REPLY:4:2}" "0x${REPLY:2:2}" "0x${REPLY:0:2}"
  fi
  if sent_from udp6 2001:db8::1 B80D0120000000000000000001000000; then
    for i in 6 4 2 0 14 12 10 8 22 20 18 16 30 28 26 24; do outward6+=${REPLY:i:2}; done
    address=${outward6,,} outward6=''
    for i in 0 4 8 12 16 20 24 28; do outward6+="${outward6:+:}${address:i:4}"; done
  fi
  if [[ -z $outward4 ]]; then
    # Without a default route, take the first global addresses.
    while read -r _ _ family address _; do
      if [[ $family == inet && -z $outward4 ]]; then outward4=${address%/*}; fi
      if [[ $family == inet6 && -z $outward6 ]]; then outward6=${address%/*}; fi
    done < <(exec ip -o addr show up scope global 2>/dev/null)
  fi
}

# sent_from PROTOCOL ADDRESS REMOTE: the address from which the kernel would send to ADDRESS, in REPLY, in the notation
# of /proc/net/PROTOCOL, where REMOTE is ADDRESS (proc(5): words in the host's byte order). UDP's connect(2) sends
# nothing.
sent_from() {
  local remote
  while read -r _ REPLY remote _; do
    if [[ $remote == "$3:0009" ]]; then
      REPLY=${REPLY%:*}
      return 0
    fi
  done 2>/dev/null 7<>"/dev/udp/$2/9" <"/proc/net/$1"
  return 1
}

# judge_reach PORT ...: judge the addresses in `places` (from `strangers`) at which the instance listens. `unreached`
# says why no client reaches one of the ports (empty: some reach each), `narrow` which clients are refused, and
# `asked_at` is the address at which to ask the first port. A port at which nothing listens is not judged.
judge_reach() {
  local port place address any4 any6 at4 at6 inside where first=${1-}
  [[ -n ${outward4+known} ]] || outward
  unreached='' narrow='' asked_at=${outward4:-${outward6:-127.0.0.1}}
  for port; do
    any4=false any6=false at4='' at6='' inside=''
    for place in "${places[@]}"; do
      if [[ ${place%% *} != "$port" ]]; then continue; fi
      address=${place#* }
      case $address in
        127.* | '[::1]'* | '[::ffff:127.'* | *%lo) inside+="${inside:+ and }$address" ;;
        '*'*) any4=true any6=true ;;
        0.0.0.0*) any4=true ;;
        '[::]'*) any6=true ;;
        '[::ffff:'*) at4+=" ${address:8:-1}" ;;
        '['*) at6+=" ${address:1}" at6=${at6%%]*} ;;
        *) at4+=" ${address%%%*}" ;;
      esac
    done
    where="$inside${inside:+ }${at4# }${at4:+ }${at6# }"
    if [[ $any4$any6$at4$at6$inside == falsefalse ]]; then continue; fi
    if [[ -z $outward4$outward6 ]]; then continue; fi
    # Judge IPv4 and IPv6 only where the host has an address of that kind.
    if [[ ($any4$at4 == false || -z $outward4) && ($any6$at6 == false || -z $outward6) ]]; then
      if [[ $any4 == true ]]; then where='IPv4 only'; elif [[ $any6 == true ]]; then where='IPv6 only'; fi
      unreached="it listens at port $port on ${where% }, which no client outside this host reaches: have it listen on"
      unreached+=' all addresses (in Phoenix `http: [ip: {0, 0, 0, 0, 0, 0, 0, 0}, …]` of the endpoint;'
      unreached+=' elsewhere `ip: {0, 0, 0, 0}`)'
      return 0
    fi
    if [[ $any4 == false && -n $outward4 ]]; then
      if [[ -z $at4 ]]; then
        narrow="it listens at port $port by IPv6 only: clients that come by IPv4 ($outward4) are refused"
      elif [[ " $at4 " != *" $outward4 "* ]]; then
        narrow="it listens at port $port on${at4} only: clients that come by another address ($outward4) are refused"
      fi
    fi
    if [[ $any6$at6 == false && -n $outward6 ]]; then
      narrow+="${narrow:+; }it listens at port $port by IPv4 only: clients that come by IPv6 ($outward6) are refused"
    fi
    if [[ $port == "$first" ]]; then
      if [[ -n $outward4 && ($any4 == true || " $at4 " == *" $outward4 "*) ]]; then
        asked_at=$outward4
      elif [[ -n $at4 ]]; then
        read -r asked_at _ <<<"$at4"
      elif [[ -n $at6 ]]; then
        read -r asked_at _ <<<"$at6"
      else
        asked_at=$outward6
      fi
    fi
  done
}
