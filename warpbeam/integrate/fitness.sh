#!/bin/bash
# Whether this host can run an artifact, from what claim.sh has found: it is sent before this part.
# `check_compatibility` and `check_memory` of warpbeam/deploy/preflight.py decide the same for hosts that `fab` reaches
# (a test compares both).
#
# Parameters: helper_version (that this Warpbeam needs), made_cpu, made_libc, made_os (of the build host),
# made_libcrypto, made_erts (that the release needs; empty: none), files_size (bytes of all files of the release),
# files_count, weigh (true: two instances must fit in the memory).
: "${helper_version?}" "${made_cpu?}" "${made_libc?}" "${made_os?}" "${made_libcrypto?}" "${made_erts?}"
: "${files_size?}" "${files_count?}" "${weigh?}"

# numbers TEXT: the numbers of a text such as `glibc 2.36`, in `found`; none where it has none, as musl's.
numbers() {
  local IFS=. part
  found=()
  for part in ${1##* }; do
    if [[ $part =~ ^[0-9]{1,9}$ ]]; then found+=("$((10#$part))"); fi
  done
}

# no_older HAVE MADE: whether the numbers of HAVE are those of MADE, or later ones.
no_older() {
  local have made index
  numbers "$1"
  have=("${found[@]}")
  numbers "$2"
  made=("${found[@]}")
  for index in "${!made[@]}"; do
    ((index < ${#have[@]})) || return 1
    if ((have[index] != made[index])); then
      ((have[index] > made[index]))
      return
    fi
  done
}

# has_libcrypto: whether this host has the libcrypto that the release needs.
has_libcrypto() {
  local name
  [[ -n $made_libcrypto ]] || return 0
  for name in "${cryptos[@]}"; do
    if [[ $name == "$made_libcrypto" ]]; then return 0; fi
  done
  return 1
}

# helper_number KEY: a number of the privileged helper's answer, in REPLY; empty where it has none.
helper_number() {
  REPLY=''
  if [[ $helper_says =~ \"$1\":\"?([0-9]{1,15}) ]]; then REPLY=${BASH_REMATCH[1]}; fi
}

# unfit UPLOAD ACTIVATE: true where this host cannot run the release: `problem` and `remedy` say why and what to do.
# UPLOAD: the release has to be made here. ACTIVATE: it is to start.
unfit() {
  local needs=$((16 * 1024 * 1024)) spare=500 version
  helper_number version
  version=$REPLY
  if [[ $1 == true ]]; then needs=$((needs + files_size)) spare=$((spare + files_count)); fi
  remedy='make room'
  helper_number memory
  if [[ $version != "$helper_version" ]]; then
    problem="the privileged helper has version ${version:-none}; expected version $helper_version"
    remedy='run `fab ENV setup`, or make the instance anew'
  elif [[ $cpu != "$made_cpu" ]]; then
    problem="its CPU is $cpu; the release was built for $made_cpu" remedy='build on a host like it'
  elif [[ ${libc%% *} != "${made_libc%% *}" ]] || ! no_older "$libc" "$made_libc"; then
    problem="its C library is $libc; the release was built with $made_libc ($made_os)"
    remedy='build on a host whose C library is no newer'
  elif ! has_libcrypto; then
    problem="it has no $made_libcrypto, which the release was built with ($made_os)"
    remedy='install it, or build on a host with the same OpenSSL'
  elif [[ -n $erts && $erts != "$made_erts" ]]; then
    problem="the release has no Erlang VM of its own, and needs ERTS $made_erts on its host, which has $erts"
    remedy='leave `include_erts` out of the release in mix.exs, or install that Erlang (`packages`)'
  elif ((free < needs)); then
    problem="$((free / 1048576)) MiB are free for releases; expected $((needs / 1048576)) MiB"
  elif ((inodes >= 0 && inodes < spare)); then
    problem="$inodes inodes are free; expected $spare"
  elif [[ $2 == true && $weigh == true ]] && ((memory < ${REPLY:-0})); then
    problem="$((memory / 1048576)) MiB of memory are free; a second instance would take $((REPLY / 1048576)) MiB"
    remedy='make room, or use `deploy.strategy: restart`, which runs one at a time'
  else
    return 1
  fi
}
