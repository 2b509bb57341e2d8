#!/bin/bash
# The first part of every phase. A phase is sent whole, so nothing needs to be on the host beforehand.
#
# A phase emits `step NAME` as it goes, and ends with exactly one of `answer`, `refuse` or `fail`.
#
# Every process costs a host a millisecond or two, and a deploy consists of them. So scripts of a deploy ask a program
# once for all that they need. A substitution of one program begins with `exec`: bash would keep a process beside it.
set -Eeuo pipefail
umask 027
export LC_ALL=C
# The PATH of an admin's login has no sbin on Debian.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# A login's profile may set options of programs that we run, or of bash. TMOUT would end each `read` from a program that
# is silent for that many seconds.
unset -v BASH_ENV CDPATH ENV GLOBIGNORE GREP_OPTIONS GZIP POSIXLY_CORRECT TAR_OPTIONS TMOUT

# record JSON: print one record on standard output (RFC 7464).
record() { printf '\036%s\n' "$1"; }

step() { object step "$1"; record "$REPLY"; }
note() { object note "$1"; record "$REPLY"; }
warn() { object warn "$1"; record "$REPLY"; }
line() { object line "$1"; record "$REPLY"; }
progress() { object progress "$1" done: "$2" total: "$3"; record "$REPLY"; }

# answer KEY VALUE ...: emit the phase's answer; the arguments are those of `object`.
answer() { object "$@"; record "{\"answer\":$REPLY}"; }

# refuse MESSAGE [HINT [KIND]]: end the phase, which has changed nothing. KIND `held`: somebody else has the deploy
# lock; `unready`: setup has not run.
refuse() {
  object message "$1" hint "${2:-}" kind "${3:-}"
  record "{\"refused\":$REPLY}"
  exit 3
}

# fail MESSAGE [HINT [LINE ...]]: end the phase, whose work failed; LINEs are shown before the message.
# `fail_kind=damaged fail …`: files on the host's disk are not as they were written.
fail() {
  local message=$1 hint=${2:-}
  shift; shift || true
  array "$@"
  object message "$message" hint "$hint" lines: "$REPLY" kind "${fail_kind-}"
  record "{\"failed\":$REPLY}"
  exit 4
}

# plain FILE: whether FILE is a readable regular file, not a link, a pipe or something else in its place.
plain() { [[ -f $1 && ! -L $1 && -r $1 ]]; }

# is_count TEXT: whether TEXT is a number that is safe in bash's arithmetic: not octal, not beyond 64 bits. Check each
# text from a file by it: arithmetic evaluates any text, and `a[$(command)]` runs the command.
is_count() { [[ $1 == [0-9] || ($1 == [1-9]* && $1 != *[!0-9]* && ${#1} -le 15) ]]; }

# text_of FILE MOST: the text of a plain file of less than MOST bytes, in REPLY; false for any other file. A NUL ends
# the read: otherwise bash would skip every NUL, and the hole of a sparse file has terabytes of them.
text_of() {
  plain "$1" && ! IFS= read -r -d '' -n "$2" REPLY <"$1"
}

# pause SECONDS: sleep without a process, by a `read` from a pipe into which nobody writes. REPLY stays as it is.
pause() {
  local said
  if [[ -z ${never-} ]]; then exec {never}<> <(:); fi
  read -r -t "$1" -u "$never" said || true
}

# uptime_seconds: whole seconds of this host's uptime, in REPLY. bash's SECONDS follows the wall clock, which may be set
# meanwhile.
uptime_seconds() { read -r REPLY _ </proc/uptime; REPLY=${REPLY%.*}; }

# since BEGAN: whole seconds since the uptime BEGAN, in REPLY.
since() {
  uptime_seconds
  REPLY=$((REPLY - $1))
}

# On an unexpected failure, print the command and its line.
trap 'printf "line %s: status %s: %s\n" "$LINENO" "$?" "$BASH_COMMAND" >&2' ERR

# shown LOG COMMAND ...: run COMMAND, emit its output line by line, keep the output in LOG, and return the exit status,
# which LOG.status keeps. LOG must be in a directory where nobody else can create a link named LOG.status.
shown() {
  local log=$1
  shift
  {
    local status=0
    "$@" 2>&1 || status=$?
    echo "$status" >"$log.status"
  } | tee -- "$log" | while IFS= read -r text; do line "$text"; done
  return "$(<"$log.status")"
}
