#!/bin/bash
# The instance, in the foreground.
require_cookie
exec "$BINDIR/erlexec" -boot_var ERTS_LIB_DIR "$ROOTDIR/lib" -noshell -noinput +Bd -boot "$REL_DIR/$REL_NAME" \
  -args_file "$VMARGS_PATH" -config "$SYS_CONFIG_PATH" -mode "${CODE_LOADING_MODE:-embedded}" -extra
