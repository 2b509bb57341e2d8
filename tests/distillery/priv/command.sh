#!/bin/bash
# A function of a module, in a VM of its own: MODULE FUNCTION [ARGUMENT ...].
require_cookie
module=$1 function=$2
shift 2
paths=("$ROOTDIR"/lib/*/ebin)
# shellcheck disable=SC2048,SC2086 # as Distillery does: words of the arguments come apart
exec "$BINDIR/erlexec" -boot_var ERTS_LIB_DIR "$ROOTDIR/lib" -config "$SYS_CONFIG_PATH" -noshell \
  -boot "$ROOTDIR/bin/start_clean" -pa "${paths[@]}" -s "$module" "$function" -s erlang halt -extra $*
