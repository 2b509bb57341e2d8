#!/bin/bash
# Runs a command of the release beside the running instance: a console, rpc.

# beside HOW COMMAND ...: runs a command of the release next to the running instance: with --pipe, or with --pty on a
# terminal of its own. It gets the settings of the instance's slot, which only root can write. From the instance's own
# environment it gets no more than the node's name, a plain word: the instance may be older than a setting, and it can
# change its environment (LD_PRELOAD, ERL_FLAGS). An instance that an earlier version of Warpbeam started has its cookie
# there too; the launcher finds the cookie of others.
# It runs in the sandbox, because a node that it connects to may run anything on this side too.
beside() {
  local unit=$app-rpc-$$ how=$1 release pair name settings='' status=0 job
  shift
  release_of "$slot" "$pid"
  release=$REPLY
  [[ -n $release ]] || die "$app@$slot.service does not run from $root/releases"
  [[ $ADMISSION == no ]] || is_admitted "$release" ||
    cannot "$release runs in slot $slot and is not admitted: \`fab $ENVIRONMENT deploy\` puts an admitted one there"
  exec 3<"/proc/$pid/environ"
  # The open file belongs to one process: check that this is still the process whose directory was read.
  release_of "$slot" "$pid"
  [[ $REPLY == "$release" ]] || cannot "$app@$slot.service has just ended"
  while IFS= read -r -d '' -t 3 pair; do settings+=$pair$'\n'; done < <(environment_of "$SHARED_VARIABLES" <&3)
  for name in "${TMP_VARIABLES[@]}"; do settings+="$name=/run/$unit"$'\n'; done
  # A crash dump of this VM would overwrite that of the instance.
  settings+="ERL_CRASH_DUMP_SECONDS=0
ERL_AFLAGS=\"-start_epmd false -erl_epmd_port ${DIST_PORT[$slot]} -dist_listen false -kernel shell_history enabled\"
"
  # systemd reads a file without a name through our descriptor: an argument would show a cookie to everybody.
  printf '%s' "$settings" >"/run/$unit.env"
  exec 3<"/run/$unit.env"
  rm -f -- "/run/$unit.env"
  # Some monitors ask every second: keep that out of the journal. Ending systemd-run does not end what it runs.
  sandboxed "$unit" "$release" "$how" --property=LogLevelMax=warning \
    --property=EnvironmentFile="$ETC/slot-$slot.env" --property=EnvironmentFile="/proc/$$/fd/3" \
    --setenv=TERM="${TERM//[^A-Za-z0-9.+_-]/}" -- \
    "$LAUNCH" beside "$slot" "$release" "$@" <&0 &
  job=$!
  trap 'kill "$job" 2>/dev/null || true; systemctl stop --quiet -- "$unit.service" 2>/dev/null || true; exit 143' \
    TERM INT HUP PIPE
  wait "$job" || status=$?
  if ((status != 0)); then explain_no_node; fi
  exit "$status"
}

# explain_no_node: prints why the instance in `slot`, which runs `release`, cannot be asked, where it is no node.
explain_no_node() {
  local files kind why='is it still starting, or does it name another port?'
  strangers "$APP_USER" "$app@$slot.service" "${DIST_PORT[$slot]}"
  ((listening == 0)) || return 0
  for ((kind = 0; kind < ${#NO_NODE[@]}; kind += 3)); do
    # The deploy user owns every file of a release that has such a name: root reads none of them.
    # shellcheck disable=SC2206 # a glob
    files=("$root/releases/$release"/${NO_NODE[kind]})
    if as_deploy grep -Eqs "${NO_NODE[kind + 1]}" -- "${files[@]}" ||
      grep -Eqs "${NO_NODE[kind + 1]}" -- "$ETC/app.env"; then
      why=${NO_NODE[kind + 2]}
    fi
  done
  printf 'warpbeam-helper: the instance in slot %s is no Erlang node (nothing listens at port %s), %s: %s\n' \
    "$slot" "${DIST_PORT[$slot]}" 'so that there is no console, rpc or health by `rpc`' "$why" >&2
}
