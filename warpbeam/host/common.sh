#!/bin/bash
# What every phase begins with. A phase is sent whole, so that nothing of it needs to be on the host beforehand.
#
# A phase tells `step NAME` as it goes, and ends with exactly one of `answer`, `refuse` or `fail`.
#
# Every process costs a host a millisecond or two, and a deploy is made of them. So what a deploy runs on every host asks once for
# all that it needs; and a substitution that is one program begins with `exec`, without which bash keeps a process beside it.
set -Eeuo pipefail
umask 027
export LC_ALL=C
# A login as the admin has no sbin on Debian.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# A login's profile may have options for programs that we run, or for us. TMOUT would end each `read` of a program that is
# silent for so long.
unset -v BASH_ENV CDPATH ENV GLOBIGNORE GREP_OPTIONS GZIP POSIXLY_CORRECT TAR_OPTIONS TMOUT

# quoted TEXT: TEXT as a JSON string, in REPLY. Control characters that JSON has no short form for become spaces.
quoted() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  text=${text//[$'\001'-$'\037']/ }
  REPLY="\"$text\""
}

# object KEY VALUE ...: a JSON object, in REPLY. KEY `name` takes a text, `name:` takes JSON as it is.
object() {
  local body='' key
  while (($#)); do
    key=$1
    case $key in
      *:) REPLY=${2:-null} key=${key%:} ;;
      *) quoted "$2" ;;
    esac
    body+="${body:+,}\"$key\":$REPLY"
    shift 2
  done
  REPLY="{$body}"
}

# array TEXT ...: a JSON array of texts, in REPLY.
array() {
  local body='' text
  for text; do
    quoted "$text"
    body+="${body:+,}$REPLY"
  done
  REPLY="[$body]"
}

# record JSON: one record on standard output (RFC 7464).
record() { printf '\036%s\n' "$1"; }

step() { object step "$1"; record "$REPLY"; }
note() { object note "$1"; record "$REPLY"; }
warn() { object warn "$1"; record "$REPLY"; }
line() { object line "$1"; record "$REPLY"; }
progress() { object progress "$1" done: "$2" total: "$3"; record "$REPLY"; }

# answer KEY VALUE ...: the phase's answer, as `object` takes it.
answer() { object "$@"; record "{\"answer\":$REPLY}"; }

# refuse MESSAGE [HINT [KIND]]: nothing was changed, and nothing will be. KIND `held`: somebody else has the deploy lock.
refuse() {
  object message "$1" hint "${2:-}" kind "${3:-}"
  record "{\"refused\":$REPLY}"
  exit 3
}

# fail MESSAGE [HINT [LINE ...]]: the work failed; LINEs are shown before the message. `fail_kind=damaged fail …`: what lies on the host's disk
# is not as it was written.
fail() {
  local message=$1 hint=${2:-}
  shift; shift || true
  array "$@"
  object message "$message" hint "$hint" lines: "$REPLY" kind "${fail_kind-}"
  record "{\"failed\":$REPLY}"
  exit 4
}

# plain FILE: it is a file that we can read, and not a link, a pipe or another thing in the place of one.
plain() { [[ -f $1 && ! -L $1 && -r $1 ]]; }

# What a file says is somebody's text, and bash evaluates a text where it expects a number: `a[$(command)]` is one to it.
# is_count TEXT: whether that is a number that can be reckoned with: no octal one, and none beyond 64 bits.
is_count() { [[ $1 == [0-9] || ($1 == [1-9]* && $1 != *[!0-9]* && ${#1} -le 15) ]]; }

# text_of FILE MOST: the text of a plain file of less than MOST bytes, in REPLY; false where it is none. A NUL ends it: of those bash
# would pass over as many as there are, and the hole of a file has them by the terabyte.
text_of() {
  plain "$1" && ! IFS= read -r -d '' -n "$2" REPLY <"$1"
}

# pause SECONDS: like sleep(1), without a process: it waits for what nobody says. REPLY stays as it is.
pause() {
  local said
  if [[ -z ${never-} ]]; then exec {never}<> <(:); fi
  read -r -t "$1" -u "$never" said || true
}

# uptime_seconds: whole seconds of this host's uptime, in REPLY. bash's own SECONDS is of the wall clock, which may be set meanwhile.
uptime_seconds() { read -r REPLY _ </proc/uptime; REPLY=${REPLY%.*}; }

# since BEGAN: how many have passed since that uptime, in REPLY.
since() {
  uptime_seconds
  REPLY=$((REPLY - $1))
}

# A command that fails where nothing was expected to says which and where.
trap 'printf "line %s: status %s: %s\n" "$LINENO" "$?" "$BASH_COMMAND" >&2' ERR

# shown LOG COMMAND ...: run COMMAND, tell what it prints line by line, keep it in LOG, and return its exit status, which is
# kept in LOG.status: in a directory where nobody else can put a link of that name.
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
