#!/bin/bash
# Builds a release from the source on standard input (a tar stream), or from the source that rsync has put into
# ROOT/build/CARRIED.
#
# Parameters: root (the app's directory on this host), release (its name in mix.exs), named (true: the inventory names
# the release), mix_env, strip (how many leading directories the paths of the stream lose), place (the app's directory
# in the source, empty or ending in a slash), places (all paths of the source), carried (the directory of
# the source that rsync has brought, where the stream has its submodules alone; or empty), anew (true: nothing of an
# earlier build is used), keep (patterns of paths that stay between builds), with_tests (true: `mix test` runs first),
# variables (NAME=VALUE, exported to the build), commit (its id, for WARPBEAM_COMMIT), tree (the id of the source's git
# tree), key (the artifact's key: the tarball is KEY.tar.gz), elixir, otp (the versions that toolchain.sh found), epmd
# (the text of erl_epmd.erl), runtime (the kind of the release), those of secrets.sh, of assets.sh and of
# dependencies.sh.
: "${root?}" "${release?}" "${named?}" "${mix_env?}" "${strip?}" "${place?}" "${places[@]-}" "${carried?}" "${anew?}"
: "${keep[@]-}" "${with_tests?}" "${variables[@]-}" "${commit?}" "${tree?}" "${key?}" "${elixir?}" "${otp?}"
: "${epmd?}" "${runtime?}"

build=$root/build
src=$build/src
new=$build/src.new
made=false

# prepare: takes the lock of builds on this host, chooses the tools, and sets what the programs of the build see.
prepare() {
  local variable
  [[ -d $build && -w $build ]] ||
    refuse "$build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  # A small system of dnf's may come without some of them.
  need_programs 'install it there: tar, gzip, findutils, diffutils and util-linux have what a build needs' \
    flock tar gzip find xargs cmp diff
  exec 8>"$build/lock"
  flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
  # Builds that were cut off left these. A tarball may be on its way to another machine, which does not hold the lock.
  rm -f -- "$build"/*.tar.gz.new
  find "$build" -mindepth 1 -maxdepth 1 -name '*.tar.gz' -mmin +1440 -delete
  choose_tools
  ((${#missing[@]} == 0)) || refuse "this build host has no ${missing[0]} any more" 'build again: that installs it'
  export MIX_ENV=$mix_env WARPBEAM_COMMIT=$commit HEX_HTTP_TIMEOUT=60 LANG=C.UTF-8
  for variable in "${variables[@]}"; do export "${variable?}"; done
  # Mix needs UTF-8, since names of files need not be ASCII. This script's own commands compare and sort bytes.
  locale=C.UTF-8
  [[ $LC_ALL == C ]] || locale=$LC_ALL
  export LC_ALL=C
}

# end_build: ends what this build must not leave behind, however it ends. A program that a whole build has started
# stays: it may serve others, as epmd does.
end_build() {
  if [[ $made != true ]]; then end_programs; fi
  end_access
}

run_tests() {
  { attempt env MIX_ENV=test mix deps.get --check-locked && attempt env MIX_ENV=test mix test; } ||
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
  mark_programs
  trap end_build EXIT
  trap 'printf "line %s: status %s: %s\n" "$LINENO" "$?" "$BASH_COMMAND" >&2; explain_full' ERR
  read_secrets
  step source
  unpack_source
  cd -- "$src"
  renew
  cd -- "$src/$place"
  find_assets
  step dependencies
  get_dependencies
  if [[ $with_tests == true ]]; then
    step test
    run_tests
  fi
  end_agent
  step compile
  must 'mix compile' mix compile
  make_assets
  step release
  make_release
  "${runtime}_tidy"
  add_nodes
  find_libcrypto
  step check
  check_content
  check_secrets
  names_node=false
  if "${runtime}_names_node"; then names_node=true; fi
  "${runtime}_check"
  step package
  pack_release
  files_of_release; files_json=$REPLY
  array "${directories[@]}"; directories_json=$REPLY
  sha=$(sha256sum -- "$tarball")
  made=true
  answer version "$version" erts "$erts" libcrypto "$libcrypto" tarball "$tarball" sha256 "${sha%% *}" \
    size: "$(stat -c %s -- "$tarball")" names_node: "$names_node" files: "$files_json" directories: "$directories_json"
}

main
