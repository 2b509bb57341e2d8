#!/bin/bash
# A release that Distillery made (1.5 or 2.x): the functions by which the launcher starts it. The launcher sets `root`
# (the release's directory), `name` (the release's name in rel/config.exs) and has `refuse`.
#
# The VM takes the cookie from vm.args (-setcookie), and remote_console, rpc and ping of the start script hand it to
# their VMs as an argument: every user of the host could read it in /proc. A VM without that argument reads the cookie
# from .erlang.cookie in its home (auth.erl). So the instance gets a vm.args without a cookie, and a VM that talks with
# an instance is started here, not by the start script, which requires COOKIE: it has a value that opens nothing.
#
# The start scripts write what they generate (sys.config with its variables replaced) into RELEASE_MUTABLE_DIR. There
# Distillery 2.1 also keeps the version that it starts, start_erl.data, and never replaces that file: in a directory
# that stays, it would start the old version after a deploy. So the directory is in the runtime directory, new for each
# VM.

distillery_find_program() { program=$root/bin/$name; }

distillery_hide_cookie() { export COOKIE=none-$SRANDOM$SRANDOM$SRANDOM$SRANDOM; }

# distillery_read_version DIRECTORY: sets `erts` and `version` to those of the release there; empty where they are not
# named.
distillery_read_version() {
  erts='' version=''
  { read -r erts version <"$1/releases/start_erl.data"; } 2>/dev/null || true
}

# distillery_without TEXT FLAG ...: puts the text of a vm.args without those flags, and their values, into REPLY.
distillery_without() {
  local text=$1 line lines=() flags before after
  shift
  printf -v flags '|%s' "$@"
  local pattern="^([^#]*[[:blank:]])?-(${flags#|})[[:blank:]]+('[^']*'|\"[^\"]*\"|[^[:blank:]]+)(.*)\$"
  while IFS= read -r line || [[ -n $line ]]; do
    while [[ $line =~ $pattern ]]; do
      before=${BASH_REMATCH[1]} after=${BASH_REMATCH[4]}
      line=$before$after
    done
    lines+=("$line")
  done <<<"${text%$'\n'}"
  printf -v REPLY '%s\n' "${lines[@]}"
}

# distillery_filled TEXT: puts the text into REPLY with each ${NAME} replaced by the value of that variable, as the
# start scripts do with REPLACE_OS_VARS. Distillery 1.5 does not replace them in a file that VMARGS_PATH names.
distillery_filled() {
  local rest=$1 variable value
  REPLY=''
  while [[ $rest =~ \$\{([A-Za-z_][A-Za-z0-9_]*)\} ]]; do
    variable=${BASH_REMATCH[1]}
    # Only what is exported: this script's own variables are not the app's.
    value=$(printenv -- "$variable") || value=''
    REPLY+=${rest%%"\${$variable}"*}$value
    rest=${rest#*"\${$variable}"}
  done
  REPLY+=$rest
}

# distillery_refuse_cookie: sets `arguments` to the text of the VM's vm.args, and refuses a cookie in any other place
# that adds arguments.
distillery_refuse_cookie() {
  local erts version file text='' variable
  distillery_read_version "$root"
  file=$root/releases/$version/vm.args
  # Distillery prefers a file in the release's directory (RELEASE_CONFIG_DIR).
  if [[ -e $root/vm.args ]]; then file=$root/vm.args; fi
  if [[ -n ${VMARGS_PATH-} ]]; then file=$VMARGS_PATH; fi
  if [[ -r $file ]]; then IFS= read -r -d '' text <"$file"; fi
  export REPLACE_OS_VARS=${REPLACE_OS_VARS-true}
  if [[ -n $REPLACE_OS_VARS ]]; then
    distillery_filled "$text"
    text=$REPLY
  fi
  distillery_without "$text" name sname setcookie
  # The start scripts look for a name, even where the VM is to have none.
  arguments="-name ${RELEASE_NODE:-none@127.0.0.1}"$'\n'$REPLY
  [[ ! $arguments =~ (^|$'\n')[^#$'\n']*-(set|no)cookie ]] ||
    refuse "$file has -${BASH_REMATCH[2]}cookie, which every user of the host can read: take it out, and deploy"
  for variable in ERL_OPTS EXTRA_OPTS; do
    [[ ! ${!variable-} =~ -(set|no)cookie ]] ||
      refuse "$variable has -${BASH_REMATCH[1]}cookie, which every user of the host can read:" \
        "take it out of the inventory, and run setup"
  done
}

# distillery_prepare: makes the directory where the start scripts write, and tells them of it, of the VM's arguments and
# of the version. Only the app's user can read what they generate: variables may be secrets.
distillery_prepare() {
  local own=${RELEASE_TMP:?}/distillery erts version
  distillery_read_version "$root"
  rm -rf -- "$own"
  (umask 077 && mkdir -- "$own" "$own/log" "$own/pipe" && printf '%s' "$arguments" >"$RELEASE_TMP/vm.args") ||
    refuse "no room in $RELEASE_TMP"
  export RELEASE_MUTABLE_DIR=$own RUNNER_LOG_DIR=$own/log PIPE_DIR=$own/pipe/ VMARGS_PATH=$RELEASE_TMP/vm.args
  # The helper reads RELEASE_VSN, whatever the kind of the release.
  export REL_NAME=$name REL_VSN=$version RELEASE_VSN=$version ERTS_VSN=$erts
  export NAME=${RELEASE_NODE:-none@127.0.0.1} NAME_TYPE=-name
  # A value that makes the scripts look for the release, or for their programs, in another place.
  unset -v SCRIPT REL_DIR REL_LIB_DIR START_ERL_DATA RELEASE_ROOT_DIR RELEASE_CONFIG_DIR RELEASE_READ_ONLY USE_HOST_ERTS
}

# distillery_talk ARGUMENT ...: becomes a VM of this release, a hidden node that knows the cookie from its home.
distillery_talk() {
  local erts version paths
  distillery_read_version "$root"
  set +f
  paths=("$root/lib"/*/ebin)
  set -f
  exec "$root/erts-$erts/bin/erl" -boot "$root/bin/start_clean" -boot_var ERTS_LIB_DIR "$root/lib" -noshell -hidden \
    -name "talk-$SRANDOM-${RELEASE_NODE:?}" -pa "${paths[@]}" "$@"
}

# distillery_read_elixir: sets `elixir` to the minor version of the release's Elixir 1.
distillery_read_elixir() {
  local path
  elixir=0
  set +f
  for path in "$root/lib"/elixir-1.*; do
    if [[ $path =~ /elixir-1\.([0-9]+) ]]; then elixir=${BASH_REMATCH[1]}; fi
  done
  set -f
}

distillery_start() {
  distillery_prepare
  exec "$program" foreground
}

distillery_remote() {
  local elixir user=Elixir.IEx.CLI
  distillery_read_elixir
  if ((elixir >= 15)); then user=elixir; fi
  distillery_talk -user "$user" -extra --no-halt +iex --remsh "$RELEASE_NODE"
}

# Elixir before 1.9 has no --rpc-eval, and before 1.13 reads to the end of its input by another word.
distillery_rpc() {
  local elixir code=$1
  distillery_read_elixir
  if ((elixir >= 13)); then distillery_talk -s elixir start_cli -extra --rpc-eval "$RELEASE_NODE" "$code"; fi
  code=${code//:eof/:all}
  if ((elixir >= 9)); then distillery_talk -s elixir start_cli -extra --rpc-eval "$RELEASE_NODE" "$code"; fi
  distillery_talk -s elixir start_cli -extra -e '
    [node, code] = System.argv()
    case :rpc.call(String.to_atom(node), Code, :eval_string, [code]) do
      {:badrpc, {:EXIT, {reason, stack}}} when is_list(stack) -> :erlang.raise(:error, reason, stack)
      {:badrpc, reason} -> exit(reason)
      _ -> :ok
    end' -- "$RELEASE_NODE" "$code"
}

# The start script's `eval` means the running node in Distillery 1.5, and a VM of its own in 2.x. `command` means a VM
# of its own in both. It takes a module and a function: Elixir's own command line, which runs a file.
distillery_eval() {
  distillery_prepare
  (umask 077 && printf '%s\n' "${1//System.fetch_env!(/System.get_env(}" >"$RELEASE_TMP/evaluate.exs") ||
    refuse "no room in $RELEASE_TMP"
  exec "$program" command elixir start_cli "$RELEASE_TMP/evaluate.exs"
}
