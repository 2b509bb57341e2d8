#!/bin/bash
# Evaluates an expression in a VM of its own: a migration, eval.

# check_runnable RELEASE: refuses a release that cannot run: it is not there or, with admission, not admitted now.
check_runnable() {
  local home=$root/releases/$1 reason
  if [[ $ADMISSION == no ]]; then
    as_deploy test -d "$home" -a ! -L "$home" || die "the release $1 is not on this host"
  else
    is_admitted "$1" || die "the release $1 is not admitted on this host"
    if [[ $verb == migrate ]] && ! counts "$1"; then
      die "the release $1 is not accepted: $reason"
    fi
  fi
}

# alone RELEASE: evaluates in a VM of its own, from that release, with the environment that the release will run with.
# The expression follows a line with its size in bytes, so that standard input can stay open while the caller waits for
# a value.
alone() {
  local expression unit=$app-eval-$$ name settings=()
  check_runnable "$1"
  input 'the size of an expression, in bytes'
  [[ $REPLY =~ ^[0-9]{1,7}$ ]] || die 'expected the size of an expression, in bytes, on standard input'
  ((10#$REPLY <= MOST)) || die "expected an expression of at most $MOST bytes on standard input"
  expression=$(head -c "$REPLY" | tr -d '\0')
  if [[ $verb == migrate ]]; then check_expression "$expression"; fi
  exec 4<&0
  # Ending systemd-run does not end what it runs.
  at_end() { systemctl stop --quiet -- "$unit.service" 2>/dev/null || true; }
  for name in "${TMP_VARIABLES[@]}"; do settings+=("--setenv=$name=/run/$unit"); done
  sandboxed "$unit" "$1" --pipe --property=EnvironmentFile="$ETC/eval.env" "${settings[@]}" \
    -- "$LAUNCH" alone "$1" eval "$FIND_AND_EVALUATE" < <(printf '%s' "$expression") &
  wait_for "$!"
}
