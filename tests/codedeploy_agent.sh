#!/bin/bash
# Runs a revision as AWS CodeDeploy's agent does (lib/instance_agent/plugins/codedeploy of aws/aws-codedeploy-agent): as
# root, in a directory of its own, each hook with a standard input that is at its end, in a process group of its own,
# and with the agent's five variables. A hook that leaves its output open fails.
#
# Arguments: the bundle, the deployment's id, the events (none: all).
set -euo pipefail

bundle=$1 deployment=$2
shift 2
home=/opt/codedeploy-agent/deployment-root/group-1
directory=$home/$deployment
archive=$directory/deployment-archive

# hooks: a line `EVENT LOCATION TIMEOUT` for each hook of appspec.yml.
hooks() {
  awk '/^  [A-Z]/ { event = $1; sub(":", "", event) }
    /location:/ { place = $3 }
    /timeout:/ { print event, place, $2 }' "$archive/appspec.yml"
}

unpack() {
  mkdir -p "$archive"
  # Nobody but root can enter.
  chmod 700 /opt/codedeploy-agent
  (cd "$archive" && tar -zxpsf "$bundle")
}

run_hook() {
  local event=$1 location=$2 seconds=$3 status=0 reader
  rm -f "$directory/out"
  mkfifo "$directory/out"
  sed -u "s/^/$event: /" <"$directory/out" &
  reader=$!
  env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin LIFECYCLE_EVENT="$event" \
    DEPLOYMENT_ID="$deployment" APPLICATION_NAME=shop DEPLOYMENT_GROUP_NAME=fleet DEPLOYMENT_GROUP_ID=group-1 \
    timeout "$seconds" "$archive/$location" < <(exec true) >"$directory/out" 2>&1 || status=$?
  # The agent waits for the end of the output for the rest of the hook's time.
  timeout 20 tail --pid="$reader" -f /dev/null || {
    echo "$event: left its output open"
    exit 6
  }
  if ((status != 0)); then
    echo "$event: failed with status $status"
    exit 4
  fi
}

cd /
[[ -d $archive ]] || unpack
while read -r event location seconds <&3; do
  if (($#)) && [[ " $* " != *" $event "* ]]; then continue; fi
  run_hook "$event" "$location" "$seconds"
done 3< <(hooks)
