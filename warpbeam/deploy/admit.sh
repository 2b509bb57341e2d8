#!/bin/bash
# Has the privileged helper admit a release: it verifies the signature, then every file, and keeps a copy of its own.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), token (ours, of the
# lock), lease (seconds), release.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${release?}"

main() {
  local said='' word status=0 problems
  still_ours "$lease"
  step admit
  problems=$root/activation/admit.said
  rm -rf -- "$problems"
  # Its words are steps; the last one says how it ended.
  # shellcheck disable=SC2024 # the file is this user's own
  coproc { exec sudo -n -- "$helper" admit <<<"$release" 2>"$problems"; }
  local helper_pid=$COPROC_PID
  while IFS= read -r -n 64 word; do
    said=$word
    case $word in signature | copy | verify) step "admit: $word" ;; esac
  done <&"${COPROC[0]}" || true
  wait "$helper_pid" || status=$?
  IFS= read -r -d '' -n 4096 word <"$problems" || true
  word=${word%$'\n'}
  if ((status != 0)); then
    refuse "${word##*warpbeam-helper: }" 'nothing was switched; docs/admission.md says what each refusal means'
  fi
  [[ -z $word ]] || warn "${word#warpbeam-helper: }"
  answer admitted "$said"
}

main
