#!/bin/bash
# Runs commands as another user: as root the helper runs nothing that another user can write.

# as_user USER COMMAND ...: runs a command as USER for at most `patience` seconds. Other processes of USER may stop or
# end it: so root's own `timeout` limits it, with a signal that works on a stopped process. It gets no descriptor of
# ours (the lock, the journal). A capability of no use here keeps USER's other processes from tracing it (ptrace(2)).
# After one command was ended, no other is tried.
hindered=no
# Seconds that it may take.
patience=5
# The descriptor for its errors: never a file of root's (see `lock`).
errors=2
as_user() {
  local user=$1 status=0
  shift
  [[ $hindered == no ]] || return 137
  timeout --signal=KILL "$patience" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs \
    --inh-caps=+net_bind_service --ambient-caps=+net_bind_service -- "$@" \
    2>&"$errors" 3<&- 4<&- 5>&- 6<&- 7>&- 8>&- 9>&- || status=$?
  if ((status == 137)); then
    hindered=yes
    printf 'warpbeam-helper: what is done as %s was stopped or ended, or took longer than %s s\n' \
      "$user" "$patience" >&2
  fi
  return "$status"
}

# The deploy user owns $root: as root, a link put there would lead anywhere.
as_deploy() { as_user "$DEPLOY_USER" "$@"; }

# Touch the app's own directories only as the app: as root, a link put there would lead anywhere.
as_app() { as_user "$APP_USER" "$@"; }
