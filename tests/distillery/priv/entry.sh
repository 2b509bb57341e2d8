#!/bin/bash
# bin/NAME: finds the version that is to start, and becomes its script.
set -e
RELEASE_ROOT_DIR=$(cd "$(dirname "$0")/.." && pwd -P)
RELEASES_DIR=$RELEASE_ROOT_DIR/releases
REL_NAME=${REL_NAME:-@NAME@}
data=$RELEASES_DIR/start_erl.data
if [[ @NUMBER@ == 2 ]]; then
  # Like Distillery 2.1: a file that is there already is never replaced.
  RELEASE_MUTABLE_DIR=${RELEASE_MUTABLE_DIR:-$RELEASE_ROOT_DIR/var}
  data=$RELEASE_MUTABLE_DIR/start_erl.data
  [[ -f $data ]] || { mkdir -p "$RELEASE_MUTABLE_DIR" && cp "$RELEASES_DIR/start_erl.data" "$data"; }
fi
REL_VSN=${REL_VSN:-$(cut -d' ' -f2 "$data")}
ERTS_VSN=${ERTS_VSN:-$(cut -d' ' -f1 "$data")}
export RELEASE_ROOT_DIR RELEASES_DIR RELEASE_MUTABLE_DIR REL_NAME REL_VSN ERTS_VSN TERM=${TERM:-xterm}
exec "$RELEASES_DIR/$REL_VSN/$REL_NAME.sh" "$@"
