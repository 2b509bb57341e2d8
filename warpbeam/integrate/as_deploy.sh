#!/bin/bash
# Becomes the deploy user, and runs the bundle's program for one event. Root opens the files of the bundle first: the
# deploy user may not be able to enter the directory of CodeDeploy's agent.
#
# Argument: the event.
#
# Parameters: user (the deploy user).
: "${user?}"
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

complain() {
  printf 'error: %s\n' "$1"
  exit 1
}

main() {
  local bundle number group become=()
  bundle=$(cd -- "$(dirname -- "$0")" && pwd -P)
  exec 3<"$bundle/program" 4<"$bundle/files" 5<"$bundle/release.tar.gz" </dev/null
  cd /
  number=$(id -u -- "$user" 2>/dev/null) || complain "this host has no user $user: \`fab ENV setup\` makes it"
  group=$(id -g -- "$user")
  if [[ $EUID != "$number" ]]; then
    [[ $EUID == 0 ]] || complain "expected to run as root or as $user"
    become=(setpriv --reuid "$number" --regid "$group" --init-groups --)
  fi
  # Nothing of the agent's environment, or of a person's, but what names the deployment.
  exec env -i "PATH=$PATH" HOME=/ "USER=$user" "LOGNAME=$user" "DEPLOYMENT_ID=${DEPLOYMENT_ID-}" \
    "DEPLOYMENT_GROUP_NAME=${DEPLOYMENT_GROUP_NAME-}" "WARPBEAM_MIGRATE=${WARPBEAM_MIGRATE-}" \
    "${become[@]}" /bin/bash --norc -p /dev/fd/3 "$1"
}

main "$@"
