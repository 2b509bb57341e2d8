#!/bin/bash
# Runs the programs of a build, shows their output, and hints at the causes of their failures. `build` is the directory
# of the build, `locale` the programs' locale.

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
  recognise "$(tail -n 400 -- "$build/log")"
  fail "$1 failed on the build host" "$REPLY"
}

# recognise TEXT: puts the hint for a program's output into REPLY; empty where there is none.
recognise() {
  case $1 in
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
    *'Permission denied (publickey'* | *'could not read Username'* | *'Host key verification failed'*)
      REPLY="on the build host $(id -un) must be able to fetch this: build.deploy_key, build.forward_agent or a key in"
      REPLY+=' ~/.ssh there; the host in known_hosts'
      ;;
    *'could not verify the signature'* | *'Could not verify'* | *'ublic key'*'repo'* | *'ublic key'*'registry'*)
      REPLY="the build host does not trust the registry: build.hex.public_keys has the key that signs it" ;;
    *'No authenticated organization'* | *'authenticat'*'hex.'* | *'(401)'* | *'(403)'*)
      REPLY="the registry must let the build in: build.hex.organizations or build.hex.repositories, with a key" ;;
    *'could not download metadata at '*hex-*.csv* | *'could not download metadata at '*rebar-*.csv*)
      REPLY="does it have \`installs/\`, as hex.pm and its mirrors do? Else install Hex and rebar3 on the build host as"
      REPLY+=" $(id -un): mix archive.install FILE, mix local.rebar rebar3 FILE"
      ;;
    *nxdomain* | *econnrefused* | *ehostunreach* | *enetunreach* | *'Could not resolve host'* | \
      *'Could not install Hex'* | *'Failed to fetch record'* | *'httpc request failed'*)
      REPLY='can the build host reach what mix.exs and mix.lock name?' ;;
    *'fatal error: '*.h*': No such file'*)
      REPLY='is the package of that header (its name ends in -dev) missing on the build host?' ;;
    *'command not found'* | *': not found'* | *'could not find executable'* | *'could not find program'* | \
      *':enoent'* | *'not found in the path'* | *'executable not found'* | *'make: '*': No such file or directory'*)
      REPLY='is a program missing on the build host that this needs?' ;;
    *'could not compile dependency'*) REPLY='' ;;
    *'== Compilation error'* | *'errors on'*) REPLY='it does not compile at this commit' ;;
    *) REPLY='' ;;
  esac
}
