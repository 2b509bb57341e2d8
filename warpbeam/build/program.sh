#!/bin/bash
# Runs the programs of a build, shows their output, and hints at the causes of their failures. `build` is the directory
# of the build, `locale` the programs' locale.

# mark_programs: puts a mark of this build into the environment of all programs that it starts.
mark_programs() {
  mark=$(</proc/sys/kernel/random/uuid)
  export WARPBEAM_BUILD=$mark
}

# end_programs: ends the programs of this build that still run. When a VM ends, the programs of its ports go on: each
# has a session of its own, and a signal to this script's process group does not reach it.
end_programs() {
  local file
  while IFS= read -r file; do
    file=${file#/proc/}
    kill -- "${file%%/*}" 2>/dev/null || true
  done < <(env -u WARPBEAM_BUILD grep -lsaF "WARPBEAM_BUILD=$mark" /proc/[0-9]*/environ)
}

# attempt COMMAND ...: runs one of the build's programs and shows its output.
# A program that stays behind must not hold the lock of builds (8).
attempt() { shown "$build/log" env LC_ALL="$locale" "$@" </dev/null 8>&-; }

# must WHAT COMMAND ...: as attempt, but fails where COMMAND fails. The output was shown already, so the message adds
# only a hint, where recognise knows one.
must() {
  local what=$1
  shift
  attempt "$@" || fail_of "$what"
}

fail_of() {
  # With a full disk, the log may have lost the lines that say so.
  if find_full; then recognise enospc; else recognise "$(tail -n 400 -- "$build/log")"; fi
  fail "$1 failed on the build host" "$REPLY"
}

# find_full: puts the first directory that a build writes to and that has no room into REPLY; false where each has some.
# The file system may keep a last part for root, and may count its files as well as its blocks.
find_full() {
  local free files
  for REPLY in "$build" "$HOME" "${TMPDIR:-/tmp}" /dev/shm; do
    { read -r _ && read -r free files; } < <(df -k --output=avail,iavail -- "$REPLY" 2>/dev/null) || continue
    if { is_count "$free" && ((free < 256)); } || { is_count "$files" && ((files < 16 && files + free > 0)); }; then
      return 0
    fi
  done
  return 1
}

# explain_full: where a command of this script itself fails because a disk is full, ends the build with that reason.
explain_full() {
  local full
  # In a subshell, standard output may be another file than that of the records.
  ((BASH_SUBSHELL == 0)) || return 0
  if find_full; then
    full=$REPLY
    hint_at_room
    fail "there is no room in $full on the build host" "$REPLY"
  fi
}

# hint_at_room: puts the hint for a full disk into REPLY, which has the directory.
hint_at_room() {
  REPLY="make room in $REPLY on the build host, and run the same command again; "
  REPLY+='`fab ENV build-on-host --clean` removes what earlier builds left'
}

# recognise TEXT: puts the hint for a program's output into REPLY; empty where there is none.
recognise() {
  local unreachable='can the build host reach what mix.exs and mix.lock name?'
  case $1 in
    *[Nn]'o space left on device'* | *'isk quota exceeded'* | *enospc* | *edquot* | *ENOSPC*)
      if ! find_full; then REPLY=$build; fi
      hint_at_room
      ;;
    *'not a git repository'*)
      REPLY='the source comes here without its .git: WARPBEAM_COMMIT has the commit, and a version can be read from'
      REPLY+=' a file'
      ;;
    *'could not copy '*': no such file or directory'*)
      REPLY='does a link there lead to nothing, or outside of `source`? Only what is below `source` comes to the'
      REPLY+=' build host'
      ;;
    *'Unknown repository '* | *'Unknown organization '*)
      REPLY='build.hex.repositories and build.hex.organizations name them' ;;
    *'/packages/'*'.tar": no such file'*)
      REPLY='the build host does not have this package, and build.hex.offline lets nothing be fetched' ;;
    *'Unknown release '* | *'multiple releases'*)
      REPLY='`release` in the inventory must be one of the releases of mix.exs' ;;
    *'has declared in its mix.exs file it supports only Elixir'*)
      REPLY='install such an Elixir on the build host, or see build.tools in the inventory' ;;
    *'the dependency is not available'* | *'could not find an app file'* | *'Could not start or find the dependency'*)
      REPLY='is it a path outside of `source`? Only what is below `source` comes to the build host, and what'
      REPLY+=' build.include names'
      ;;
    *'Permission denied (publickey'* | *'could not read Username'* | *'Host key verification failed'* | \
      *'Authentication failed for '* | *'The requested URL returned error: 40'[134]* | \
      *'Repository not found'* | *"fatal: repository '"*"' not found"*)
      REPLY="on the build host $(id -un) must be able to fetch this: build.deploy_key, build.forward_agent or a key in"
      REPLY+=' ~/.ssh there; the host in known_hosts'
      ;;
    *'could not verify the signature'* | *'Could not verify'* | *'ublic key'*'repo'* | *'ublic key'*'registry'*)
      REPLY="the build host does not trust the registry: build.hex.public_keys has the key that signs it" ;;
    *'No authenticated organization'* | *'authenticat'*'hex.'* | *'(401)'* | *'(403)'*)
      REPLY="the registry must let the build in: build.hex.organizations or build.hex.repositories, with a key" ;;
    *'ertificate verification failed'* | *'ertificate verify failed'* | *'SSL certificate problem'* | *unknown_ca* | \
      *no_cacerts_found*)
      REPLY='the build host does not trust the certificate of that server: are ca-certificates, and its own authority,'
      REPLY+=' installed there?'
      ;;
    *nxdomain* | *econnrefused* | *ehostunreach* | *enetunreach* | *failed_connect* | *'Could not resolve host'* | \
      *'Failed to connect'* | *'onnection refused'* | *'onnection timed out'* | *'Network is unreachable'* | \
      *'No route to host'*)
      REPLY=$unreachable ;;
    *'could not download metadata at '*hex-*.csv* | *'could not download metadata at '*rebar-*.csv*)
      REPLY="does it have \`installs/\`, as hex.pm and its mirrors do? Else install Hex and rebar3 on the build host as"
      REPLY+=" $(id -un): mix archive.install FILE, mix local.rebar rebar3 FILE"
      ;;
    *'Could not install Hex'* | *'Failed to fetch record'* | *'httpc request failed'*)
      REPLY=$unreachable ;;
    *'fatal error: '*.h*': No such file'*)
      REPLY='is the package of that header (its name ends in -dev) missing on the build host?' ;;
    *'command not found'* | *': not found'* | *'could not find executable'* | *'could not find program'* | \
      *':enoent'* | *'not found in the path'* | *'executable not found'* | *'is not available in your PATH'* | \
      *'make: '*': No such file or directory'* | *"env: ‘"* | *"env: '"*)
      REPLY='is a program missing on the build host that this needs?' ;;
    *'could not compile dependency'*) REPLY='' ;;
    *'== Compilation error'* | *'errors on'*) REPLY='it does not compile at this commit' ;;
    *) REPLY='' ;;
  esac
}
