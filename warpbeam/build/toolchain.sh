#!/bin/bash
# What this build host builds with; refuses when that is not what the source asks for.
choose_tools

# told_by_files: `ELIXIR OTP` as an installation's own files tell it, in told; false where that is not plain (shims, several OTPs).
# Every deploy asks, most of them of something that is built already: a VM would be a good part of their time.
told_by_files() {
  local elixir erl version otps
  elixir=$(readlink -f -- "$(command -v elixir)") && erl=$(readlink -f -- "$(command -v erl)") || return 1
  version=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' -- "${elixir%/bin/elixir}/lib/elixir/ebin/elixir.app" 2>/dev/null) || return 1
  otps=("${erl%/bin/erl}"/releases/*/OTP_VERSION)
  [[ -n $version && ${#otps[@]} == 1 && -r ${otps[0]} ]] || return 1
  told="$version $(<"${otps[0]}")"
}

# One VM answers everything: the exact OTP version is in a file of it, where the packager kept that.
# shellcheck disable=SC2016 # Elixir
told_by_files || told=$(elixir -e '
  major = List.to_string(:erlang.system_info(:otp_release))
  exact = Path.join([:code.root_dir(), "releases", major, "OTP_VERSION"])
  otp = case File.read(exact) do {:ok, text} -> String.trim(text); _ -> major end
  IO.puts("#{System.version()} #{otp}")' </dev/null 2>&1) ||
  refuse "elixir does not run here (tools: $tools): ${told:0:300}" 'install what .tool-versions asks for on the build host'
read -r elixir otp <<<"$(tail -n 1 <<<"$told")"

hint='install that version on the build host, or change .tool-versions'
fits "$elixir" "$want_elixir" || refuse ".tool-versions asks for Elixir $want_elixir; this build host has $elixir (tools: $tools)" "$hint"
fits "$otp" "$want_erlang" || refuse ".tool-versions asks for Erlang $want_erlang; this build host has $otp (tools: $tools)" "$hint"

. /etc/os-release
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
answer elixir "$elixir" otp "$otp" cpu "$(uname -m)" libc "$libc" os "${PRETTY_NAME:-$ID}"
