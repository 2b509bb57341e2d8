#!/bin/bash
# A release that Mix made: the functions by which the launcher starts it. The launcher sets `root` (the release's
# directory), `name` (the release's name in mix.exs) and has `refuse`.
#
# Mix's start script gives the VM its cookie as an argument (`--cookie`), which every user of the host can read in
# /proc. A VM without that argument reads the cookie from .erlang.cookie in its home (auth.erl). So the argument is
# taken out of the start script, and RELEASE_COOKIE, which the start script requires, has a value that opens nothing.

# The argument as the start scripts of all Elixir versions since 1.9 spell it.
mix_cookie_argument=' --cookie "$RELEASE_COOKIE"'
# Files in releases/VERSION that may add arguments to those of the VM.
mix_argument_files=(vm.args remote.vm.args env.sh)

# mix_find_program: sets `program` to the start script. A release of an earlier Warpbeam does not say its name, and may
# have another one than today's settings: it starts by the one program in bin that is a start script of Mix's.
# (rel/overlays may put other programs beside it.)
mix_find_program() {
  local file text found=()
  program=$root/bin/$name
  if [[ -x $program ]]; then return; fi
  set +f
  for file in "$root/bin"/*; do
    text=''
    if [[ -f $file && -x $file ]]; then IFS= read -r -d '' text <"$file"; fi
    if [[ $text == '#!'*"$mix_cookie_argument"* ]]; then found+=("$file"); fi
  done
  set -f
  if ((${#found[@]} == 1)); then program=${found[0]}; fi
}

mix_hide_cookie() { export RELEASE_COOKIE=none-$SRANDOM$SRANDOM$SRANDOM$SRANDOM; }

# mix_read_version DIRECTORY: sets `erts` and `version` to those of the release there; empty where they are not named.
mix_read_version() {
  erts='' version=''
  { read -r erts version <"$1/releases/start_erl.data"; } 2>/dev/null || true
}

# mix_refuse_cookie: a cookie of the release's own would be an argument again, and the VM would use it.
mix_refuse_cookie() {
  local file text erts version
  mix_read_version "$root"
  for file in "${mix_argument_files[@]}"; do
    text=''
    if [[ -r $root/releases/$version/$file ]]; then IFS= read -r -d '' text <"$root/releases/$version/$file"; fi
    [[ ! $text =~ (^|$'\n')[^#$'\n']*-(set|no)cookie ]] ||
      refuse "releases/$version/$file has -${BASH_REMATCH[2]}cookie, which every user of the host can read:" \
        "take it out of rel/$file.eex, and deploy"
  done
}

# mix_run COMMAND ...: becomes the start script with that command and its arguments.
mix_run() {
  local text=''
  IFS= read -r -d '' text <"$program" || [[ -n $text ]] || refuse 'it cannot be read'
  # A start script of another kind runs as it is: it does not know the cookie.
  if [[ $text != '#!'*"$mix_cookie_argument"* ]]; then exec "$program" "$@"; fi
  text=${text#'#!'}
  # shellcheck disable=SC2086 # a first line may hold an argument too
  exec ${text%%$'\n'*} -c "#!${text//"$mix_cookie_argument"/}" "$program" "$@"
}

# mix_COMMAND ...: becomes the VM in the foreground; a shell of a running node; one that has a running node evaluate an
# expression; or one that evaluates an expression itself.
mix_start() { mix_run start; }
mix_remote() { mix_run remote; }
mix_rpc() { mix_run rpc "$1"; }
mix_eval() { mix_run eval "$1"; }
