#!/bin/bash
# Fetches a build's dependencies. `build` is the directory of the build; program.sh runs the programs.
#
# Parameters: hex_mirror (a URL, or empty), hex_offline, hex_unsafe (true or false), hex_repositories (settings of Hex's
# repositories: NAME FIELD VALUE, the value in base64; secret), deploy_key (a private key for git, or empty; secret).
: "${hex_mirror?}" "${hex_offline?}" "${hex_unsafe?}" "${hex_repositories[@]-}" "${deploy_key?}"

private='' agent=''

# The text of a program for Elixir: it adds the settings on standard input to those of Hex's file on this host.
# shellcheck disable=SC2016 # Elixir
HEX_CONFIG='
  config = case :file.consult(System.fetch_env!("BEFORE")) do {:ok, terms} -> terms; _ -> [] end
  {_, known} = List.keyfind(config, :"$repos", 0, {:"$repos", %{}})
  repos = Enum.reduce(IO.stream(:stdio, :line), known, fn line, repos ->
    [name, field, value] = String.split(line)
    setting = %{String.to_atom(field) => Base.decode64!(value)}
    Map.update(repos, name, setting, &Map.merge(&1, setting))
  end)
  terms = List.keystore(config, :"$repos", 0, {:"$repos", repos})
  text = Enum.map(terms, &:io_lib.format("~p.~n", [&1]))
  System.fetch_env!("HEX_HOME") |> Path.join("hex.config") |> File.write!(text)'

# prepare_access: lets Hex and git fetch what the inventory says they may.
prepare_access() {
  [[ -z $hex_mirror ]] || export HEX_MIRROR=$hex_mirror
  [[ $hex_offline != true ]] || export HEX_OFFLINE=1
  [[ $hex_unsafe != true ]] || export HEX_UNSAFE_REGISTRY=1
  if ((${#hex_repositories[@]})); then set_repositories; fi
  if [[ -n $deploy_key ]]; then add_deploy_key; fi
}

# end_access: removes what prepare_access made. Hex's cache stays for the next build.
end_access() {
  end_agent
  if [[ -n $private ]]; then
    cp -f -- "$private/cache.ets" "$cache/cache.ets" 2>/dev/null || true
    rm -rf -- "$private"
  fi
}

# end_agent: ends the agent with the deploy key, and hides this machine's: what is built later needs none. (Programs of
# the same user could still find the socket of a forwarded one.)
end_agent() {
  if [[ -n $agent ]]; then kill "$agent" || true; fi
  agent=''
  unset -v SSH_AUTH_SOCK SSH_AGENT_PID
}

# set_repositories: gives Hex a directory of its own, in memory, with the keys; the packages stay where they were.
set_repositories() {
  local config=${HEX_HOME:-$HOME/.hex}
  cache=$config
  if [[ -z ${HEX_HOME-} && ${MIX_XDG-} == [1t]* ]]; then
    config=${XDG_CONFIG_HOME:-$HOME/.config}/hex
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/hex
  fi
  mkdir -p -- "$cache/packages"
  # A build of this app that was killed could not remove its own.
  rm -rf -- "/dev/shm/warpbeam-hex${root//\//-}".*
  private=$(mktemp -d "/dev/shm/warpbeam-hex${root//\//-}.XXXXXXXX" 2>/dev/null) ||
    fail 'there is no /dev/shm on the build host' 'it keeps the keys of build.hex, which are written to no disk'
  ln -s -- "$cache/packages" "$private/packages"
  cp -- "$cache/cache.ets" "$private/cache.ets" 2>/dev/null || true
  export HEX_HOME=$private
  printf '%s\n' "${hex_repositories[@]}" | (umask 077 && BEFORE=$config/hex.config elixir -e "$HEX_CONFIG") ||
    fail "Hex's settings could not be written"
}

# add_deploy_key: starts an agent for git with the deploy key, which is never in a file. The key leaves the agent by
# itself if nothing ends the agent.
add_deploy_key() {
  local said
  command -v ssh-agent >/dev/null || fail 'there is no ssh-agent on the build host' 'install openssh-client there'
  said=$(ssh-agent -s 8>&-)
  [[ $said =~ SSH_AUTH_SOCK=([^\;]+)\;.*SSH_AGENT_PID=([0-9]+) ]] || fail 'ssh-agent does not start' '' "$said"
  agent=${BASH_REMATCH[2]}
  export SSH_AUTH_SOCK=${BASH_REMATCH[1]} SSH_AGENT_PID=$agent
  said=$(SSH_ASKPASS_REQUIRE=never ssh-add -q -t 4h - <<<"$deploy_key" 2>&1) ||
    fail 'build.deploy_key is no private key that ssh-add accepts' 'it must have no passphrase' "$said"
}

# knows_mix_home: whether Mix's home is known. Looking at its files avoids the VM that `mix local.hex --if-missing`
# starts. Not with asdf or mise, unless MIX_HOME is set: their shims may set another home of Mix for each version.
knows_mix_home() { [[ ($tools == system || -n ${MIX_HOME-}) && -z ${MIX_XDG-} ]]; }

has_hex() {
  local found=("${MIX_ARCHIVES:-${MIX_HOME:-$HOME/.mix}/archives}"/hex-*)
  knows_mix_home && [[ -e ${found[0]} ]]
}

has_rebar() {
  local home=${MIX_HOME:-$HOME/.mix} minor=${elixir#*.}
  minor=${elixir%%.*}-${minor%%.*}
  knows_mix_home &&
    [[ -e ${MIX_REBAR3:-$home/elixir/$minor/rebar3} || -e $home/elixir/$minor-otp-${otp%%.*}/rebar3 ]]
}

# get_missing LOCK: installs Hex and rebar3, if they are missing and a package of the lock file needs them.
get_missing() {
  if grep -qs '{:hex,' -- "$1" && ! has_hex; then must 'mix local.hex' mix local.hex --force --if-missing; fi
  if grep -qs '\[[^]]*:rebar3' -- "$1" && ! has_rebar; then
    must 'mix local.rebar' mix local.rebar --force --if-missing
  fi
}

get_hex() {
  [[ $hex_offline != true ]] ||
    fail 'Hex or rebar3 is missing on the build host, and build.hex.offline lets nothing be fetched' \
      "install them there as $(id -un): mix archive.install FILE, mix local.rebar rebar3 FILE"
  must 'mix local.hex' mix local.hex --force --if-missing
  must 'mix local.rebar' mix local.rebar --force --if-missing
}

# get_dependencies: fetches what the lock file names, and fails if mix.exs asks for more.
get_dependencies() {
  local lock lines
  prepare_access
  lock=$(sed -En 's/^[^#]*\blockfile:[[:space:]]*"([^"#]+)".*/\1/p' mix.exs | head -n 1)
  lock=${lock:-mix.lock}
  cp -f -- "$lock" "$build/mix.lock.before" 2>/dev/null || : >"$build/mix.lock.before"
  # Offline, Mix itself says what is missing.
  if [[ $hex_offline != true ]]; then get_missing "$lock"; fi
  # Not with --check-locked: Elixir before 1.15 ignores it, and a newer one does not say what is missing in the lock
  # file.
  if ! attempt mix deps.get --only "$mix_env"; then
    # An installed Hex may be one that this Erlang cannot load.
    [[ $(<"$build/log") == *'ould not find '[\"H]* ]] || fail_of 'mix deps.get'
    get_hex
    must 'mix deps.get' mix deps.get --only "$mix_env"
  fi
  if [[ -e $lock ]] && ! cmp -s -- "$lock" "$build/mix.lock.before"; then
    mapfile -t lines < <(diff -U0 -- "$build/mix.lock.before" "$lock" | tail -n +3)
    fail "$lock is out of date: mix.exs asks for what it does not lock" \
      "run \`mix deps.get\`, commit $lock, and build again" "${lines[@]}"
  fi
}
