#!/bin/bash
# Answers with the versions that this build host builds with; refuses when the source asks for others. A version that
# asdf or mise can install counts as there: it is named in the answer, and a build installs it.
#
# Parameters: asked_in (the files of the source that ask for versions), those of tools.sh.
: "${asked_in?}"

# asked VERSION ...: the first version without what only asdf and mise understand, in REPLY.
asked() {
  REPLY=${1#*:}
  REPLY=${REPLY%%-otp-*}
}

# expect_versions: puts the versions into `elixir` and `otp` that this host has once the missing ones are installed.
expect_versions() {
  local name
  elixir='' otp=''
  for name in "${missing[@]}"; do
    asked "${name#* }"
    case $name in
      elixir*) elixir=$REPLY ;;
      erlang*) otp=$REPLY ;;
      node*) nodejs=$REPLY ;;
    esac
  done
  [[ -n $elixir ]] || elixir_of_files || elixir=''
  [[ -n $otp ]] || otp_of_files || otp=''
}

# check_versions: refuses when the source asks for other versions.
check_versions() {
  local hint="install that version on the build host, or change ${asked_in%% *}"
  fits "$elixir" "$want_elixir" ||
    refuse "$asked_in asks for Elixir $want_elixir; this build host has $elixir (tools: $tools)" "$hint"
  fits "$otp" "$want_erlang" ||
    refuse "$asked_in asks for Erlang $want_erlang; this build host has $otp (tools: $tools)" "$hint"
}

main() {
  choose_tools
  if ((${#missing[@]})); then
    expect_versions
  else
    find_versions ||
      refuse "elixir does not run here (tools: $tools): ${said:0:300}" "install what $asked_in asks for"
    check_versions
  fi
  . /etc/os-release
  libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
  array "${missing[@]}"; missing_json=$REPLY
  object elixir "$elixir" otp "$otp" cpu "$(uname -m)" libc "$libc" os "${PRETTY_NAME:-$ID}" nodejs "$nodejs"
  answer toolchain: "$REPLY" tools "$tools" missing: "$missing_json"
}

main
