#!/bin/bash
# Builds a release from the source on standard input (a tar stream), or from the source that rsync has put into
# ROOT/build/carried.
#
# Parameters: root (the app's directory on this host), release (its name in mix.exs), named (true: the inventory names
# the release), mix_env, strip (how many leading directories the paths of the stream lose), carried (true: there is no
# stream), anew (true: nothing of an earlier build is used), keep (patterns of paths that stay between builds),
# with_tests (true: `mix test` runs first), variables (NAME=VALUE, exported to the build), commit (its id, for
# WARPBEAM_COMMIT), tree (the id of the source's git tree), key (the artifact's key: the tarball is KEY.tar.gz), elixir,
# otp (the versions that toolchain.sh found), epmd (the text of erl_epmd.erl), runtime (the kind of the release).
: "${root?}" "${release?}" "${named?}" "${mix_env?}" "${strip?}" "${carried?}" "${anew?}" "${keep[@]-}"
: "${with_tests?}" "${variables[@]-}" "${commit?}" "${tree?}" "${key?}" "${elixir?}" "${otp?}" "${epmd?}" "${runtime?}"

build=$root/build
src=$build/src
new=$build/src.new

# prepare: takes the lock of builds on this host, chooses the tools, and sets what the programs of the build see.
prepare() {
  local variable
  [[ -d $build && -w $build ]] ||
    refuse "$build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  exec 8>"$build/lock"
  flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
  choose_tools
  export MIX_ENV=$mix_env WARPBEAM_COMMIT=$commit HEX_HTTP_TIMEOUT=60 LANG=C.UTF-8
  for variable in "${variables[@]}"; do export "${variable?}"; done
  # Mix needs UTF-8, since names of files need not be ASCII. This script's own commands compare and sort bytes.
  locale=C.UTF-8
  [[ $LC_ALL == C ]] || locale=$LC_ALL
  export LC_ALL=C
}

# has_hex: whether Hex and rebar3 are installed. Looking at their directories avoids the VM that `mix local.hex
# --if-missing` starts. Not with asdf or mise, unless MIX_HOME is set: their shims may set another home of Mix for each
# version.
has_hex() {
  local home=${MIX_HOME:-$HOME/.mix} minor=${elixir#*.} found
  [[ ($tools == system || -n ${MIX_HOME-}) && -z ${MIX_XDG-} ]] || return 1
  minor=${elixir%%.*}-${minor%%.*}
  found=("${MIX_ARCHIVES:-$home/archives}"/hex-*)
  [[ -e ${found[0]} ]] || return 1
  [[ -e ${MIX_REBAR3:-$home/elixir/$minor/rebar3} || -e $home/elixir/$minor-otp-${otp%%.*}/rebar3 ]]
}

get_hex() {
  must 'mix local.hex' mix local.hex --force --if-missing
  must 'mix local.rebar' mix local.rebar --force --if-missing
}

# get_dependencies: fetches what the lock file names, and fails if mix.exs asks for more.
get_dependencies() {
  local lock lines
  lock=$(sed -En 's/^[^#]*\blockfile:[[:space:]]*"([^"#]+)".*/\1/p' mix.exs | head -n 1)
  lock=${lock:-mix.lock}
  cp -f -- "$lock" "$build/mix.lock.before" 2>/dev/null || : >"$build/mix.lock.before"
  if grep -qs '{:hex,' -- "$lock" && ! has_hex; then get_hex; fi
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

run_tests() {
  attempt env MIX_ENV=test mix 'do' deps.get --check-locked + test ||
    fail 'mix test failed on the build host' 'nothing was built'
}

# make_release: runs `mix release`, or what makes a release of another kind. An app without `releases` in its mix.exs
# has Mix's default release, which `mix release` accepts no name for. Sets `out`, the release's directory.
make_release() {
  local name=("$release")
  if [[ $runtime != mix ]]; then
    "${runtime}_make"
    return
  fi
  out=$build/out
  rm -rf -- "$out"
  [[ $named == true ]] || grep -qs releases mix.exs || name=()
  attempt mix release "${name[@]}" --quiet --overwrite --path "$out" && return
  # The guess was wrong: the word `releases` stands there and means something else, or Mix has several releases.
  case ${#name[@]},$named,$(<"$build/log") in
    1,false,*'The available releases are: []'*) name=() ;;
    0,*'multiple releases'*) name=("$release") ;;
    *) fail_of 'mix release' ;;
  esac
  must 'mix release' mix release "${name[@]}" --quiet --overwrite --path "$out"
}

# add_nodes: adds the module by which the release's nodes find each other (erl_epmd.erl). It is compiled once for each
# ERTS: to compile it in every build would take a second.
add_nodes() {
  local beam
  [[ ! -e $out/warpbeam-nodes && ! -L $out/warpbeam-nodes ]] ||
    fail 'the release has warpbeam-nodes, where a build puts what is its own' \
      'take it out of the app, or out of rel/overlays'
  beam=$build/nodes/$erts-$(sha256sum <<<"$epmd" | head -c 16)/erl_epmd.beam
  if [[ ! -s $beam ]]; then
    rm -rf -- "$build/nodes"
    mkdir -p -- "${beam%/*}"
    printf '%s\n' "$epmd" >"$build/nodes/erl_epmd.erl"
    must 'erlc of erl_epmd.erl, which needs a whole Erlang' env -u ERL_COMPILER_OPTIONS \
      erlc +deterministic -o "$build/nodes" "$build/nodes/erl_epmd.erl"
    mv -f -- "$build/nodes/erl_epmd.beam" "$beam"
  fi
  mkdir -- "$out/warpbeam-nodes"
  cp -- "$beam" "$out/warpbeam-nodes/"
}

# find_libcrypto: puts the name of the library that the release's crypto is linked with into `libcrypto`.
find_libcrypto() {
  libcrypto=$(find "$out/lib" -path '*/crypto-*/priv/lib/crypto.so' -exec ldd {} + 2>/dev/null |
    awk '/libcrypto/ { print $1; exit }')
}

main() {
  prepare
  step source
  unpack_source
  cd -- "$src"
  renew
  step dependencies
  get_dependencies
  if [[ $with_tests == true ]]; then
    step test
    run_tests
  fi
  step compile
  must 'mix compile' mix compile
  step release
  make_release
  "${runtime}_tidy"
  add_nodes
  find_libcrypto
  step check
  check_content
  names_node=false
  if "${runtime}_names_node"; then names_node=true; fi
  "${runtime}_check"
  step package
  pack_release
  files_of_release; files_json=$REPLY
  array "${directories[@]}"; directories_json=$REPLY
  sha=$(sha256sum -- "$tarball")
  answer version "$version" erts "$erts" libcrypto "$libcrypto" tarball "$tarball" sha256 "${sha%% *}" \
    size: "$(stat -c %s -- "$tarball")" names_node: "$names_node" files: "$files_json" directories: "$directories_json"
}

main
