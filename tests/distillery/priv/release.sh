#!/bin/bash
# releases/VERSION/NAME.sh: makes the configuration, and runs a command of libexec.
set -e
REL_DIR=$RELEASE_ROOT_DIR/releases/$REL_VSN
RELEASE_MUTABLE_DIR=${RELEASE_MUTABLE_DIR:-$RELEASE_ROOT_DIR/var}
RUNNER_LOG_DIR=${RUNNER_LOG_DIR:-$RELEASE_MUTABLE_DIR/log}
RELEASE_CONFIG_DIR=${RELEASE_CONFIG_DIR:-$RELEASE_ROOT_DIR}
export ROOTDIR=$RELEASE_ROOT_DIR BINDIR=$RELEASE_ROOT_DIR/erts-$ERTS_VSN/bin EMU=beam PROGNAME=erl DISTILLERY_TASK=$1
mkdir -p "$RELEASE_MUTABLE_DIR" "$RUNNER_LOG_DIR"

fail() {
  printf '%s\n' "$*"
  exit 1
}

replaced() {
  awk '{
    while (match($0, "[$]{[^}]*}")) {
      name = substr($0, RSTART + 2, RLENGTH - 3)
      $0 = substr($0, 1, RSTART - 1) ENVIRON[name] substr($0, RSTART + RLENGTH)
    }
  } 1' "$1" >"$1.bak" && mv "$1.bak" "$1"
}

# generated VARIABLE NAME: copies the file that VARIABLE names, or the release's NAME, into the mutable directory. 1.5
# goes on with a file that was named, 2 with the copy.
generated() {
  local from=${!1:-$REL_DIR/$2} to=$RELEASE_MUTABLE_DIR/$2
  [[ $from != "$to" ]] || fail "$1 names the generated file"
  cat "$from" >"$to"
  if [[ -n $REPLACE_OS_VARS ]]; then replaced "$to"; fi
  if [[ @NUMBER@ == 2 || -z ${!1} ]]; then export "$1=$to"; fi
}

require_cookie() {
  [[ -n $COOKIE ]] || COOKIE=$(awk '$1 == "-setcookie" { print $2 }' "$VMARGS_PATH")
  [[ -n $COOKIE ]] || COOKIE=$(cat "$HOME/.erlang.cookie")
  [[ -n $COOKIE ]] || fail 'a secret cookie must be provided'
}

generated VMARGS_PATH vm.args
generated SYS_CONFIG_PATH sys.config
if [[ @NUMBER@ == 1 || -z $NAME ]]; then NAME=$(awk '$1 ~ /^-s?name$/ { print $2 }' "$VMARGS_PATH"); fi
[[ -n $NAME ]] || fail 'vm.args needs to have either -name or -sname parameter.'
# Like Conform's hook: the settings of the file are the app's, over those of sys.config.
if [[ -n $CONFORM_CONF_PATH ]]; then
  [[ -f $CONFORM_CONF_PATH ]] || fail "missing .conf, expected it at $CONFORM_CONF_PATH"
  conform=$(sed -n 's/^hello\.\([a-z_]*\) *= *\(".*"\)$/{\1,<<\2>>}/p' "$CONFORM_CONF_PATH" | paste -sd,)
  # Only a file of this name may include another (config(4)).
  mv "$SYS_CONFIG_PATH" "$RELEASE_MUTABLE_DIR/base.config"
  printf '["%s",{hello,[%s]}].\n' "$RELEASE_MUTABLE_DIR/base.config" "$conform" >"$SYS_CONFIG_PATH"
fi
cd "$RELEASE_ROOT_DIR"
command=$REL_DIR/libexec/commands/$1.sh
[[ -f $command ]] || fail "'$1' is not a valid command"
shift
. "$command"
