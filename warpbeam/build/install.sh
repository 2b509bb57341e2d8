#!/bin/bash
# Installs, by asdf or mise, the versions that the source asks for and this build host does not have: Erlang first,
# because Elixir is checked and sometimes compiled by it.
#
# Parameters: root (the app's directory on this host), variables (NAME=VALUE, exported: they may be options of the
# installation, such as KERL_CONFIGURE_OPTIONS), those of tools.sh.
: "${root?}" "${variables[@]-}"

# After so many seconds without a line, a program's silence is shown.
silence=15

# lock: one build or installation at a time.
lock() {
  local variable
  [[ -d $root/build && -w $root/build ]] ||
    refuse "$root/build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  need_programs 'install util-linux there' flock
  exec 8>"$root/build/lock"
  flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
  { mkdir -p -- "$data" && exec 9>"$data/.warpbeam-lock"; } ||
    fail "$data cannot be written by $(id -un)" 'is there room on the build host? Then: who owns that directory?'
  flock -n 9 || refuse "another installation by $tools is running on this host" 'wait for it, or end it there'
  for variable in "${variables[@]}"; do export "${variable?}"; done
}

# attempt COMMAND ...: runs a program of the installation in a directory without files of asdf or mise; the program does
# not keep our locks. Its output goes to the log. A line of it is shown every few seconds, as a sign that it works;
# where it fails, the message has its last lines.
attempt() {
  : >"$log.began"
  (cd -- "$root/build" && "$@" </dev/null 8>&- 9>&- 2>&1 && echo 0 >"$log.status" || echo 1 >"$log.status") |
    tee -- "$log" | show_signs
  [[ $(<"$log.status") == 0 ]]
}

# show_signs: shows a line of its input every few seconds. While there is none, it shows how long that has been, and the
# last line of Kerl's log: Kerl says nothing for the minutes in which it compiles an Erlang.
show_signs() {
  local text part='' next=0 began status
  uptime_seconds; began=$REPLY
  while true; do
    IFS= read -r -t "$silence" text && status=0 || status=$?
    if ((status > 128)); then
      # The beginning of a line may have come: the rest comes later.
      part+=$text
      since "$began"
      line "($((REPLY / 60)) min $((REPLY % 60)) s) $(last_of_kerl 1)"
      continue
    fi
    ((status == 0)) || return 0
    text=$part$text part=''
    uptime_seconds
    ((REPLY >= next)) || continue
    next=$((REPLY + 3))
    line "$(last_written <<<"$text")"
  done
}

# last_written: copies its input; of a line that its program wrote over (the meter of a download), only the last state.
last_written() { sed -e $'s/\r*$//' -e $'s/.*\r//'; }

# last_of_kerl COUNT: prints the last lines of Kerl's newest log, if Kerl has written it since our program began.
last_of_kerl() {
  local file newest=$log.began
  for file in "$(kerl_home)"/builds/*/otp_*.log; do
    if [[ $file -nt $newest ]]; then newest=$file; fi
  done
  if [[ $newest != "$log.began" ]]; then tail -n "$1" -- "$newest"; fi
}

# kerl_home: prints the directory where Kerl, by which asdf and mise compile an Erlang, has its builds.
kerl_home() {
  case $tools in
    asdf) echo "$data/plugins/erlang/kerl-home" ;;
    mise) echo "$cache/erlang/kerl" ;;
  esac
}

# forget_kerl VERSION: removes what an interrupted build of this Erlang left. Its lock file stays for 14 days, and Kerl
# refuses to build until then, without a word where its output is no terminal.
forget_kerl() {
  local home
  home=$(kerl_home)
  rm -rf -- "$home/builds/$1" "$home/builds/asdf_$1"
  rm -f -- "$home"/gits/*/build.lock
}

# fail_to WHAT [HINT]: ends with the last lines of the program that could not do WHAT, and of Kerl's log: asdf and mise
# do not always show them. HINT is for an output without a hint of its own.
fail_to() {
  local -a said
  recognise "$(tail -n 400 -- "$log"; last_of_kerl 400)" "${2-}"
  mapfile -t said < <({ last_of_kerl 8; tail -n 12 -- "$log"; } | last_written)
  fail "$tools could not $1" "$REPLY" "${said[@]}"
}

# recognise TEXT [HINT]: puts a hint for a program's output into REPLY; HINT where there is no other.
recognise() {
  case $1 in
    *'No space left on device'* | *'Disk quota exceeded'*)
      REPLY='make room on the build host; the same command goes on from here' ;;
    *'ould not resolve host'* | *'error sending request'* | *'dns error'* | *'onnection refused'* | \
      *'onnection timed out'* | *'Failed to connect'*)
      REPLY="can the build host reach what $tools downloads from?" ;;
    *'returned error: 40'[13]* | *'(401 Unauthorized)'* | *'(403 Forbidden)'*)
      REPLY='the server refuses this build host: is it a proxy that wants a name, or a limit of requests?' ;;
    *'ncurses'* | *'No curses library'* | *'No usable OpenSSL'* | *'C compiler'* | *'gcc: '*'not found'* | \
      *'cc: '*'not found'* | *'make: '*'not found'* | *"Command 'unzip'"* | \
      *'missing required'* | *'autoconf'*'not found'*)
      REPLY='`build: {install: true}` and `setup` install what the build of an Erlang needs' ;;
    *) REPLY=${2:-is it a version that $tools knows? See docs/toolchains.md} ;;
  esac
}

# add_plugin TOOL: asdf installs nothing without the tool's plugin; mise knows its own tools.
add_plugin() {
  [[ $tools == asdf && ! -e $data/plugins/$1 ]] || return 0
  step "asdf plugin $1"
  attempt "$manager" plugin add "$1" ||
    fail_to "add the plugin $1" 'asdf clones its list of plugins, and then the plugin: can the build host do that?'
}

# resolve TOOL VERSION: puts the version that asdf knows for `latest`, `latest:1.17` or `prefix:1.17` into REPLY.
resolve() {
  REPLY=$2
  case $2 in
    latest | stable | lts) set -- "$1" ;;
    latest:* | prefix:*) set -- "$1" "${2#*:}" ;;
    *) return 0 ;;
  esac
  attempt "$manager" latest "$@" || fail_to "find ${*: -1}"
  REPLY=$(tail -n 1 -- "$log")
}

# install_by_asdf TOOL VERSION: asdf takes an installation that was interrupted for one that is there. A file beside
# the installations says which one has begun and not ended.
install_by_asdf() {
  local version begun
  resolve "$@"; version=$REPLY
  begun=$data/.warpbeam-$1-${version/:/-}
  if [[ $1 == erlang && -e $begun ]]; then forget_kerl "${version#*:}"; fi
  : >"$begun" || fail "cannot write to $data" 'is there room on the build host?'
  rm -rf -- "$data/installs/$1/${version/:/-}"
  attempt "$manager" install "$1" "$version" || fail_to "install $1 $version"
  rm -f -- "$begun"
}

# install_by_mise TOOL VERSION: mise marks an installation that has not ended by itself. `--force`: not only where mise
# takes what is left of another one for whole.
install_by_mise() {
  local version=${2/#latest:/prefix:}
  if [[ $1 == erlang && -e $cache/erlang/$version/incomplete ]]; then forget_kerl "$version"; fi
  attempt "$manager" install --force "$1@$version" || fail_to "install $1 $2"
}

main() {
  local log=$root/build/log first
  local -a done_ones=()
  choose_tools
  lock
  while ((${#missing[@]})); do
    first=${missing[0]}
    add_plugin "${first%% *}"
    step "install $first"
    "install_by_$tools" "${first%% *}" "${first#* }"
    done_ones+=("$first")
    # Later ones are installed with this one on the PATH.
    choose_tools
    [[ ${missing[0]-} != "$first" ]] || fail_to "install $first: it is not in $data/installs now"
  done
  array "${done_ones[@]}"
  answer tools: "$REPLY"
}

main
