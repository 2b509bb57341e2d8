#!/bin/bash
# What this build host builds with; refuses when that is not what the source asks for.
choose_tools

# One VM answers everything: the exact OTP version is in a file of it, where the packager kept that.
# shellcheck disable=SC2016 # Elixir
told=$(elixir -e '
  major = List.to_string(:erlang.system_info(:otp_release))
  exact = Path.join([:code.root_dir(), "releases", major, "OTP_VERSION"])
  otp = case File.read(exact) do {:ok, text} -> String.trim(text); _ -> major end
  IO.puts("#{System.version()} #{otp}")' </dev/null 2>&1) ||
  refuse "elixir does not run here (tools: $tools): ${told:0:300}" 'install what .tool-versions asks for on the build host'
read -r elixir otp <<<"$(tail -n 1 <<<"$told")"

# `1.14.0-otp-25` asks for Elixir 1.14.0; `25` for any OTP 25.
asked=${want_elixir%%-otp-*}
if [[ -n $asked && $elixir != "$asked" ]]; then
  refuse ".tool-versions asks for Elixir $want_elixir; this build host has $elixir (tools: $tools)" 'install that version on the build host, or change .tool-versions'
fi
if [[ -n $want_erlang && $otp != "$want_erlang" && $otp != "$want_erlang".* ]]; then
  refuse ".tool-versions asks for Erlang $want_erlang; this build host has $otp (tools: $tools)" 'install that version on the build host, or change .tool-versions'
fi

. /etc/os-release
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=$(ldd --version 2>&1 | head -n 1)
answer elixir "$elixir" otp "$otp" cpu "$(uname -m)" libc "$libc" os "${PRETTY_NAME:-$ID}"
