#!/bin/bash
# The verb `serve`.

# serve: runs the verbs that an activation asks for, one after the other: each a line, followed by its input. The answer
# is the verb's output, then `=` and its exit status. So sudo and this script are read once, and not for each verb.
verb_serve() {
  local status
  # sudo's own line in the journal says only `serve`; these lines name the verbs.
  exec 7> >(exec logger -p auth.info -t "warpbeam-$app")
  trap '' PIPE
  while IFS= read -r -n 256 verb; do
    case $verb in
      start | stop | abandon | switch | drain | undrain | reconcile) ;;
      *)
        verb=serve
        die 'expected a verb of an activation on standard input'
        ;;
    esac
    printf 'the privileged helper was asked by %s: %s\n' "${SUDO_USER:-root}" "$verb" >&7 || true
    set +e
    (
      set -e
      "verb_$verb"
    )
    status=$?
    set -e
    printf '= %s\n' "$status"
  done
}
