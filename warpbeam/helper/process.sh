#!/bin/bash
# Reads about an instance from its main process, in /proc.

# started_in PID: puts the release in which the process was started in REPLY, by the kernel's word, whatever links say
# now. Where the process has left that directory (File.cd!, or cd in rel/env.sh), its program names the release. Empty
# where neither is in a release: a process may go anywhere, even into a directory whose name is a forged text.
started_in() {
  REPLY=$(readlink -- "/proc/$1/cwd") || REPLY=''
  if [[ $REPLY =~ ^("$root/releases"|"$ADMITTED")/([0-9TZ]{16})(\ \(deleted\))?$ ]]; then
    REPLY=${BASH_REMATCH[2]}
  else
    REPLY=$(readlink -- "/proc/$1/exe") || REPLY=''
    [[ $REPLY =~ ^("$root/releases"|"$ADMITTED")/([0-9TZ]{16})/erts-[^/]+/bin/[^/]+$ ]] || BASH_REMATCH=()
    REPLY=${BASH_REMATCH[2]-}
  fi
  is_release "$REPLY" || REPLY=''
}

# environment_of NAMES < FILE: prints entries of a process's environment (proc(5)): those of the variables NAMES (an
# expression) with a plain word as its value; each ends with NUL. The process can make its environment long, and slow to
# read.
environment_of() {
  timeout --signal=KILL 2 head -c 2097152 2>/dev/null |
    grep -zaxE -m 16 "($1)=[A-Za-z0-9_.@+-]{1,255}" || true
}
