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

# attempt COMMAND ...: runs one of the build's programs and shows its output.
attempt() { shown "$build/log" env LC_ALL="$locale" "$@" </dev/null; }

# must WHAT COMMAND ...: as attempt, but fails where COMMAND fails. The output was shown already, so the message adds
# only a hint, where recognise knows one.
must() {
  local what=$1
  shift
  attempt "$@" || failed "$what"
}

failed() {
  recognise "$(tail -n 400 -- "$build/log")"
  fail "$1 failed on the build host" "$REPLY"
}

# recognise TEXT: puts the hint for a program's output into REPLY; empty where there is none.
recognise() {
  case $1 in
    *'not a git repository'*)
      REPLY='the source comes here without its .git: WARPBEAM_COMMIT has the commit, and a version can be read from'
      REPLY+=' a file'
      ;;
    *'could not copy '*': no such file or directory'*)
      REPLY='does a link there lead to nothing, or outside of `source`? Only what is below `source` comes to the'
      REPLY+=' build host'
      ;;
    *'Unknown release '* | *'multiple releases'*)
      REPLY='`release` in the inventory must be one of the releases of mix.exs' ;;
    *'has declared in its mix.exs file it supports only Elixir'*)
      REPLY='install such an Elixir on the build host, or see build.tools in the inventory' ;;
    *'the dependency is not available'* | *'could not find an app file'* | *'Could not start or find the dependency'*)
      REPLY='is it a path outside of `source`? Only what is below `source` comes to the build host: move it there, or'
      REPLY+=' fetch it by git or Hex'
      ;;
    *'Permission denied (publickey'* | *'could not read Username'* | *'Host key verification failed'*)
      REPLY="on the build host $(id -un) must be able to fetch this: a key in ~/.ssh, the host in known_hosts" ;;
    *'could not verify the signature'* | *'Could not verify'* | *'ublic key'*'repo'* | *'ublic key'*'registry'*)
      REPLY="the build host does not trust the registry: see mix hex.repo there, as $(id -un)" ;;
    *'No authenticated organization'* | *'authenticat'*'hex.'* | *'(401)'* | *'(403)'*)
      REPLY="on the build host $(id -un) must be let in: HEX_API_KEY, mix hex.organization or mix hex.repo there" ;;
    *nxdomain* | *econnrefused* | *ehostunreach* | *enetunreach* | *'Could not resolve host'* | \
      *'Could not install Hex'* | *'Failed to fetch record'* | *'httpc request failed'*)
      REPLY='can the build host reach what mix.exs and mix.lock name?' ;;
    *'fatal error: '*.h*': No such file'*)
      REPLY='is the package of that header (its name ends in -dev) missing on the build host?' ;;
    *'command not found'* | *': not found'* | *'could not find executable'* | *'could not find program'* | \
      *':enoent'* | *'not found in the path'* | *'executable not found'* | *'make: '*': No such file or directory'*)
      REPLY='is a program missing on the build host that this needs?' ;;
    *'could not compile dependency'*) REPLY='' ;;
    *'== Compilation error'* | *'errors on'*) REPLY='it does not compile at this commit' ;;
    *) REPLY='' ;;
  esac
}

# sums: prints `SHA256  PATH` of each path in `same`, below the working directory, sorted.
sums() { printf '%s\0' "${same[@]}" | xargs -0r sha256sum -z -- | sort -z; }

# linked: hard-links each of the paths on standard input from the old source into the new one.
linked() { xargs -0r cp --link --parents --no-dereference --remove-destination -t "$new" --; }

# renew: makes the source exactly what lies in $new. An unchanged file keeps its time, or Mix would compile again what
# depends on the file. A changed file gets the time of this build: with the commit's time, Mix would not compile a
# change that was committed before the last build and leaves the file's size as it was.
renew() {
  local file path pattern text
  local -a same=() more=()
  (cd -- "$new" && find . ! -type d -printf '%P\0' | sort -z) >"$build/tracked.new"
  # Files that git had at the last build and has no more: they may lie below a path that stays.
  if [[ -e $build/tracked ]]; then comm -z -23 -- "$build/tracked" "$build/tracked.new" | xargs -0r rm -rf --; fi
  mv -f -- "$build/tracked.new" "$build/tracked"
  while IFS= read -r -d '' file; do
    [[ -f $file && ! -L $file && -f $new/$file && ! -L $new/$file ]] || continue
    if [[ -x $file ]]; then [[ -x $new/$file ]] || continue; elif [[ -x $new/$file ]]; then continue; fi
    same+=("$file")
  done <"$build/tracked"
  if ((${#same[@]})); then comm -z -12 -- <(sums) <(cd -- "$new" && sums) | cut -z -c 67- | linked; fi
  if [[ $anew != true ]]; then
    stay _build
    # In deps, only what Mix fetched stays: a package has .hex, a repository .git. Anything else there comes from the
    # commit, or is a leftover.
    for path in deps/*; do
      if [[ -e $path/.hex || -e $path/.git ]]; then stay "$path"; fi
    done
    for pattern in "${keep[@]}"; do
      # shellcheck disable=SC2231 # a pattern
      for path in $pattern; do stay "$path"; done
    done
  fi
  # mix.exs may read the version from another file. Mix writes APP.app again only when mix.exs has changed or APP.app is
  # missing, so remove it: otherwise the app would keep its old version.
  text=$(cat -- "$new/mix.exs" "$new"/apps/*/mix.exs 2>/dev/null) || true
  for path in "$new/_build/$mix_env"/lib/*; do
    file=${path##*/}
    if [[ $text =~ app:[[:space:]]*:"$file"[^a-z0-9_] ]]; then rm -f -- "$path/ebin/$file.app"; fi
  done
  cd -- "$build"
  rm -rf -- "$src.old"
  mv -T -- "$src" "$src.old" && mv -T -- "$new" "$src"
  rm -rf -- "$src.old"
  cd -- "$src"
  # Other tools or variables may compile to another result. New times make Mix look at every file; Mix then compares
  # digests.
  text="$mix_env $tools $elixir $otp ${variables[*]}"
  if [[ ! -e $build/how || $(<"$build/how") != "$text" ]]; then xargs -0r touch -h -- <"$build/tracked"; fi
  printf '%s\n' "$text" >"$build/how"
}

# stay PATH: takes PATH from the old source into the new one, except files that the commit has.
stay() {
  local path=$1 file
  [[ -e $path && ! -L $path ]] || return 0
  if [[ ! -e $new/$path && ! -L $new/$path ]]; then
    mkdir -p -- "$(dirname -- "$new/$path")"
    mv -T -- "$path" "$new/$path"
  elif [[ -d $path && -d $new/$path ]]; then
    while IFS= read -r -d '' file; do
      [[ -e $new/$file || -L $new/$file ]] || printf '%s\0' "$file"
    done < <(find "$path" ! -type d -print0) | linked
  fi
}

step source
rm -rf -- "$new"
mkdir -p -- "$src" "$new"
if [[ $carried != true ]]; then
  tar -x --touch --strip-components="$strip" --no-same-owner -C "$new"
else
  # The times of a working tree are not kept, as those of a commit are not (see renew).
  cp -r --no-dereference --preserve=mode -T -- "$build/carried" "$new"
  # Keep what a commit would keep: no pipes, no empty directories, and of the modes only the owner's execute bit.
  find "$new" -mindepth 1 \( ! -type f ! -type l ! -type d -o -type d -empty \) -delete
  find "$new" \( -type d -o -type f -perm -u+x \) -exec chmod 750 -- {} + -o -type f -exec chmod 640 -- {} +
fi
cd -- "$src"
renew

step dependencies
lock=$(sed -En 's/^[^#]*\blockfile:[[:space:]]*"([^"#]+)".*/\1/p' mix.exs | head -n 1)
lock=${lock:-mix.lock}
cp -f -- "$lock" "$build/mix.lock.before" 2>/dev/null || : >"$build/mix.lock.before"

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

if grep -qs '{:hex,' -- "$lock" && ! has_hex; then get_hex; fi
# Not with --check-locked: Elixir before 1.15 ignores it, and a newer one does not say what is missing in the lock file.
if ! attempt mix deps.get --only "$mix_env"; then
  # An installed Hex may be one that this Erlang cannot load.
  [[ $(<"$build/log") == *'ould not find '[\"H]* ]] || failed 'mix deps.get'
  get_hex
  must 'mix deps.get' mix deps.get --only "$mix_env"
fi
if [[ -e $lock ]] && ! cmp -s -- "$lock" "$build/mix.lock.before"; then
  mapfile -t lines < <(diff -U0 -- "$build/mix.lock.before" "$lock" | tail -n +3)
  fail "$lock is out of date: mix.exs asks for what it does not lock" \
    "run \`mix deps.get\`, commit $lock, and build again" "${lines[@]}"
fi

if [[ $with_tests == true ]]; then
  step test
  attempt env MIX_ENV=test mix 'do' deps.get --check-locked + test ||
    fail 'mix test failed on the build host' 'nothing was built'
fi

step compile
must 'mix compile' mix compile

# make_release: runs `mix release`. An app without `releases` in its mix.exs has Mix's default release, which `mix
# release` accepts no name for.
make_release() {
  local name=("$release")
  [[ $named == true ]] || grep -qs releases mix.exs || name=()
  attempt mix release "${name[@]}" --quiet --overwrite --path "$out" && return
  # The guess was wrong: the word `releases` stands there and means something else, or Mix has several releases.
  case ${#name[@]},$named,$(<"$build/log") in
    1,false,*'The available releases are: []'*) name=() ;;
    0,*'multiple releases'*) name=("$release") ;;
    *) failed 'mix release' ;;
  esac
  must 'mix release' mix release "${name[@]}" --quiet --overwrite --path "$out"
}

step release
out=$build/out
rm -rf -- "$out"
make_release
"${runtime}_tidy"
# The module by which the release's nodes find each other (erl_epmd.erl), compiled once for each ERTS: to compile it in
# every build would take a second.
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
libcrypto=$(find "$out/lib" -path '*/crypto-*/priv/lib/crypto.so' -exec ldd {} + 2>/dev/null |
  awk '/libcrypto/ { print $1; exit }')
# Refuse what no release may hold. The rules are those of warpbeam/build/content.py, which checks the artifact again
# where it arrives; the check here can name up to 20 faults at once. Names are quoted by bash, so they print as plain
# ASCII.
step check
odd=()
real=$(realpath -- "$out")
while IFS= read -r -d '' entry && IFS= read -r -d '' target; do
  kind=${entry%%/*} mode=${entry#*/}
  path=${mode#*/} mode=${mode%%/*}
  if [[ ${path,,} == .warpbeam ]]; then odd+=("${path@Q} has a name that is Warpbeam's own"); fi
  case $kind in
    f)
      if (((8#$mode & 8#7000) != 0)); then
        odd+=("${path@Q} has mode $mode: no file of a release is run as another user")
      fi
      ;;
    # On a host every directory of a release belongs to the deploy user and is readable for the app: a set-user-ID or
    # sticky bit would be lost.
    d)
      if (((8#$mode & 8#5000) != 0)); then
        odd+=("${path@Q} is a directory of mode $mode: a host has none such in a release")
      fi
      ;;
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
  fail 'the release holds what no release may hold' \
    'the lines above name it: take it out of the app, or out of rel/overlays' "${odd[@]:0:20}"
fi

"${runtime}_check"
names_node=false
if "${runtime}_names_node"; then names_node=true; fi

step package
# The app's group must be able to read every file, whatever umask the build had.
chmod -R u+rwX,go+rX,go-w -- "$out"
tarball=$build/$key.tar.gz
cd -- "$out"
mapfile -d '' -t directories < <(find . -mindepth 1 -type d -empty -printf '%P\0' | sort -z)
# The same source gives the same bytes: names are sorted, there is no owner. Another source gives another time (between
# 2000 and 2008), since a web server makes the ETag of a file from its size and time. The tarball has no directories: a
# host makes its own, and tar would remove their set-group-ID bit.
digest=$(printf '%s\0' "$tree" "${directories[@]}" | sha256sum)
find . \( -type f -o -type l \) -printf '%P\0' | sort -z |
  tar -c --format=gnu --hard-dereference --null --verbatim-files-from --files-from=- \
    --owner=0 --group=0 --numeric-owner --mtime="@$((946684800 + 16#${digest:0:7}))" | gzip -n >"$tarball.new"
mv -f -- "$tarball.new" "$tarball"
declare -A sums=()
while IFS= read -r -d '' entry; do
  sums[${entry#*  ./}]=${entry%% *}
done < <(find . -type f -print0 | xargs -0 sha256sum -z --)
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
array "${directories[@]}"
empty=$REPLY
sha=$(sha256sum -- "$tarball")
answer version "$version" erts "$erts" libcrypto "$libcrypto" tarball "$tarball" sha256 "${sha%% *}" \
  size: "$(stat -c %s -- "$tarball")" names_node: "$names_node" files: "[$files]" directories: "$empty"
