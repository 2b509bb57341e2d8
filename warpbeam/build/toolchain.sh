#!/bin/bash
# Answers with the versions that this build host builds with; refuses when .tool-versions asks for others.
#
# Parameters: those of tools.sh.

# versions_of_files: puts `ELIXIR OTP` into versions, as the files of the installation have it; false where they do not
# (shims, several OTPs). Every deploy asks, and most need no build: starting a VM would take a good part of their time.
versions_of_files() {
  local elixir erl version otps
  elixir=$(readlink -f -- "$(command -v elixir)") && erl=$(readlink -f -- "$(command -v erl)") || return 1
  version=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' -- \
    "${elixir%/bin/elixir}/lib/elixir/ebin/elixir.app" 2>/dev/null) || return 1
  otps=("${erl%/bin/erl}"/releases/*/OTP_VERSION)
  [[ -n $version && ${#otps[@]} == 1 && -r ${otps[0]} ]] || return 1
  versions="$version $(<"${otps[0]}")"
}

# versions_of_vm: the same from one VM. The exact OTP version is in a file of the installation, unless the packager left
# it out.
versions_of_vm() {
  # shellcheck disable=SC2016 # Elixir
  versions=$(elixir -e '
    major = List.to_string(:erlang.system_info(:otp_release))
    exact = Path.join([:code.root_dir(), "releases", major, "OTP_VERSION"])
    otp = case File.read(exact) do {:ok, text} -> String.trim(text); _ -> major end
    IO.puts("#{System.version()} #{otp}")' </dev/null 2>&1) ||
    refuse "elixir does not run here (tools: $tools): ${versions:0:300}" \
      'install what .tool-versions asks for on the build host'
}

# check_versions: refuses when .tool-versions asks for other versions.
check_versions() {
  local hint='install that version on the build host, or change .tool-versions'
  fits "$elixir" "$want_elixir" ||
    refuse ".tool-versions asks for Elixir $want_elixir; this build host has $elixir (tools: $tools)" "$hint"
  fits "$otp" "$want_erlang" ||
    refuse ".tool-versions asks for Erlang $want_erlang; this build host has $otp (tools: $tools)" "$hint"
}

main() {
  choose_tools
  versions_of_files || versions_of_vm
  read -r elixir otp <<<"$(tail -n 1 <<<"$versions")"
  check_versions
  . /etc/os-release
  libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
  answer elixir "$elixir" otp "$otp" cpu "$(uname -m)" libc "$libc" os "${PRETTY_NAME:-$ID}"
}

main
