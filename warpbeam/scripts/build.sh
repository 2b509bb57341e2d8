#!/bin/bash
# Builds a release from the source on standard input (a tar stream), or from what rsync has put in place.
#
# Parameters: root, release, mix_env, strip (leading directories of the stream), carried (true: no stream), with_tests,
# variables (NAME=VALUE), commit, key, epmd (the text of erl_epmd.erl).
: "${root?}" "${release?}" "${mix_env?}" "${strip?}" "${carried?}" "${with_tests?}" "${variables[@]-}" "${commit?}" "${key?}" "${epmd?}"

build=$root/build
src=$build/src
[[ -d $build && -w $build ]] || refuse "$build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
exec 8>"$build/lock"
flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
choose_tools
export MIX_ENV=$mix_env WARPBEAM_COMMIT=$commit HEX_HTTP_TIMEOUT=60
for variable in "${variables[@]}"; do export "${variable?}"; done

# must WHAT HINT COMMAND ...
must() {
  local what=$1 hint=$2
  shift 2
  shown "$build/log" "$@" </dev/null || {
    mapfile -t lines < <(tail -n 30 -- "$build/log")
    fail "$what failed on the build host" "$hint" "${lines[@]}"
  }
}

step source
mkdir -p -- "$src"
cd -- "$src"
if [[ $carried != true ]]; then
  # What is kept: compiled code and dependencies. Everything else is exactly the commit's.
  find . -mindepth 1 -maxdepth 1 ! -name _build ! -name deps -exec rm -rf -- {} +
  # Every file is as new as this unpacking. With the commit's time, a change that was committed before the last build and
  # leaves the file's size as it was would not be compiled: to Mix it is older than what it has. What did not change is not
  # compiled again, because Mix compares digests then.
  tar -x --touch --strip-components="$strip" --no-same-owner
else
  # A person's own times say as little.
  find . -mindepth 1 \( -path ./_build -o -path ./deps \) -prune -o -type f -exec touch -c -- {} +
fi

step dependencies
cp -f -- mix.lock "$build/mix.lock.before" 2>/dev/null || : >"$build/mix.lock.before"
if grep -qs '{:hex,' mix.lock; then
  must 'mix local.hex' 'the build host needs Hex: is its registry in reach?' mix local.hex --force --if-missing
  must 'mix local.rebar' 'the build host needs rebar3: is it in reach?' mix local.rebar --force --if-missing
fi
# Not with --check-locked: Elixir before 1.15 passes over it, and a newer one does not say what the lock lacks.
must 'mix deps.get' 'can the build host reach what mix.lock names?' mix deps.get --only "$mix_env"
if [[ -e mix.lock ]] && ! cmp -s -- mix.lock "$build/mix.lock.before"; then
  mapfile -t lines < <(diff -U0 -- "$build/mix.lock.before" mix.lock | tail -n +3)
  fail 'mix.lock is out of date: mix.exs asks for what it does not lock' 'run `mix deps.get`, commit mix.lock, and build again' "${lines[@]}"
fi

if [[ $with_tests == true ]]; then
  step test
  must 'mix test' 'nothing was built' env MIX_ENV=test mix 'do' deps.get --check-locked + test
fi

step compile
must 'mix compile' 'the app does not compile at this commit' mix compile

step release
out=$build/out
rm -rf -- "$out"
must 'mix release' 'see the releases of mix.exs' mix release "$release" --quiet --overwrite --path "$out"
[[ -x $out/bin/$release && -f $out/releases/start_erl.data ]] ||
  fail "mix release made no bin/$release" 'is `release` in the inventory a release of mix.exs?'
# The cookie is the host's, not the artifact's.
rm -f -- "$out/releases/COOKIE"
# What a `:tar` step made lies among the files; ours is made below, without the cookie.
rm -f -- "$out/$release"-*.tar.gz
read -r erts version <<<"$(<"$out/releases/start_erl.data")"
# How its nodes find each other (erl_epmd.erl), compiled once for each OTP: a VM takes a second to say the same again.
[[ ! -e $out/warpbeam-nodes && ! -L $out/warpbeam-nodes ]] ||
  fail 'the release has warpbeam-nodes, where a build puts what is its own' 'take it out of the app, or out of rel/overlays'
beam=$build/nodes/$erts-$(sha256sum <<<"$epmd" | head -c 16)/erl_epmd.beam
if [[ ! -s $beam ]]; then
  rm -rf -- "$build/nodes"
  mkdir -p -- "${beam%/*}"
  printf '%s\n' "$epmd" >"$build/nodes/erl_epmd.erl"
  must 'compiling erl_epmd.erl' 'is that a whole Erlang (erlc, the application compiler)?' \
    env -u ERL_COMPILER_OPTIONS erlc +deterministic -o "$build/nodes" "$build/nodes/erl_epmd.erl"
  mv -f -- "$build/nodes/erl_epmd.beam" "$beam"
fi
mkdir -- "$out/warpbeam-nodes"
cp -- "$beam" "$out/warpbeam-nodes/"
libcrypto=$(find "$out/lib" -path '*/crypto-*/priv/lib/crypto.so' -exec ldd {} + 2>/dev/null | awk '/libcrypto/ { print $1; exit }')
# What no release may hold. The rules are those of warpbeam/building/content.py, which looks again where this arrives; here they
# have the names of all of it at once. A name is told as bash quotes it: in plain ASCII, whatever it is.
step check
odd=()
real=$(realpath -- "$out")
while IFS= read -r -d '' entry && IFS= read -r -d '' target; do
  kind=${entry%%/*} mode=${entry#*/}
  path=${mode#*/} mode=${mode%%/*}
  if [[ ${path,,} == .warpbeam ]]; then odd+=("${path@Q} has a name that is Warpbeam's own"); fi
  case $kind in
    f) if (((8#$mode & 8#7000) != 0)); then odd+=("${path@Q} has mode $mode: no file of a release is run as another user"); fi ;;
    d) ;;
    l)
      resolved=$(realpath -m -- "$out/$path")
      if [[ $target == /* || $resolved/ != "$real"/* ]]; then
        odd+=("${path@Q} is a link to ${target@Q}, which is outside of the release")
      fi
      ;;
    *) odd+=("${path@Q} is neither a file, a link nor a directory") ;;
  esac
done < <(find "$out" -mindepth 1 -printf '%y/%m/%P\0%l\0')
while IFS= read -r -d '' path; do
  odd+=("${path@Q} has a control character in its name, or is not UTF-8")
done < <(find "$out" -mindepth 1 -printf '%P\0' | LC_ALL=C.UTF-8 grep -zavx '[^[:cntrl:]]*' || true)
if ((${#odd[@]})); then
  fail 'the release holds what no release may hold' 'the lines above name it: take it out of the app, or out of rel/overlays' "${odd[@]:0:20}"
fi

# The name that each slot has would be lost.
names_node=false
if grep -Es '^[^#]*RELEASE_NODE=' -- "$out/releases/$version/env.sh" | grep -Eqv 'RELEASE_NODE="?\$\{RELEASE_NODE:?[-=]'; then
  names_node=true
fi

# Whoever starts the VM takes Mix's own `--cookie` out of the start script's text, because every user of a host could read it there.
mapfile -t lines < <(cd -- "$out" && grep -EnsH '^[^#]*-(set|no)cookie' -- "releases/$version/"{env.sh,vm.args,remote.vm.args})
((${#lines[@]} == 0)) || fail 'the release sets a cookie of its own, which every user of a host could read' \
  'take it out of rel/: setup makes the cookie' "${lines[@]}"
argument=' --cookie "$RELEASE_COOKIE"'
start=$(<"$out/bin/$release")
if [[ $start != *"$argument"* || ${start//"$argument"/} =~ -(-|set|no)cookie ]]; then
  fail "bin/$release does not hand over the cookie as Mix's own start script does" 'take it out of rel/overlays'
fi

step package
# Whatever the builder's umask was, the app's group can read all of it.
chmod -R u+rwX,go+rX,go-w -- "$out"
tarball=$build/$key.tar.gz
# The same source gives the same bytes: sorted names, no owner; times are of no use to a release. No directories: a host makes
# its own, and tar would take their set-group-ID bit away again.
(cd -- "$out" && find . \( -type f -o -type l \) -printf '%P\0' | sort -z |
  tar -c --format=gnu --hard-dereference --null --verbatim-files-from --files-from=- --owner=0 --group=0 --numeric-owner --mtime=@0) |
  gzip -n >"$tarball.new"
mv -f -- "$tarball.new" "$tarball"
cd -- "$out"
declare -A sums=()
while IFS= read -r -d '' entry; do sums[${entry#*  ./}]=${entry%% *}; done < <(find . -type f -print0 | xargs -0 sha256sum -z --)
files=''
while IFS= read -r -d '' entry; do
  IFS=/ read -r mode size path <<<"$entry"
  quoted "$path"
  path_text=$REPLY
  if [[ -L $path ]]; then
    quoted "$(readlink -- "$path")"
    files+="${files:+,}[$path_text,\"777\",0,\"\",$REPLY]"
  else
    files+="${files:+,}[$path_text,\"$mode\",$size,\"${sums[$path]}\"]"
  fi
done < <(
  find . \( -type f -o -type l \) -printf '%m/%s/%P\0' | sort -z -t / -k 3
)
sha=$(sha256sum -- "$tarball")
answer version "$version" erts "$erts" libcrypto "$libcrypto" tarball "$tarball" sha256 "${sha%% *}" \
  size: "$(stat -c %s -- "$tarball")" names_node: "$names_node" files: "[$files]"
