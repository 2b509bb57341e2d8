#!/bin/bash
# Runs a program of the app with the sandbox of its service.

# sandboxed UNIT RELEASE ARGUMENT ...: becomes systemd-run for a transient unit of that name, as the app user, in that
# release, with the service's sandbox. A VM that is evaluating handles SIGTERM only afterwards, so it gets little time.
sandboxed() {
  local unit=$1 release=$2
  shift 2
  exec systemd-run --quiet --collect --wait --unit="$unit.service" --working-directory="$RUNNABLE/$release" \
    "${SANDBOX[@]}" --property=TimeoutStopSec=5 --property=RuntimeDirectory="$unit" "$@"
}
