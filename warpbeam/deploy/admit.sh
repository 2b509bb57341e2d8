#!/bin/bash
# Has the privileged helper admit a release: it verifies the signature, then every file, and keeps a copy of its own.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), token (ours, of the
# lock), lease (seconds), release.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${release?}"

main() {
  local said='' word status=1 problems=$root/activation/admit.said
  still_ours "$lease"
  step admit
  rm -rf -- "$problems"
  # The helper's words are steps, and the last one says how it ended; then comes its status.
  while IFS= read -r -n 64 word; do
    case $word in
      '= '*) status=${word#= } ;;
      signature | copy | verify) step "admit: $word" ;;
      *) said=$word ;;
    esac
  done < <(
    code=0
    # shellcheck disable=SC2024 # the file is this user's own
    sudo -n -- "$helper" admit <<<"$release" 2>"$problems" || code=$?
    printf '= %s\n' "$code"
  )
  IFS= read -r -d '' -n 4096 word <"$problems" || true
  word=${word%$'\n'}
  if [[ $status != 0 ]]; then
    # Only where the helper ended by itself is its last line the reason.
    if [[ $status == 2 ]]; then
      word=${word##*warpbeam-helper: }
    else
      word="the privileged helper ended with status $status: ${word##*$'\n'}"
    fi
    refuse "${word:-the privileged helper did not answer about $release}" \
      'nothing was switched; docs/admission.md says what each refusal means'
  fi
  word=${word#warpbeam-helper: }
  [[ -z $word ]] || warn "${word//$'\n'warpbeam-helper: /; }"
  answer admitted "$said"
}

main
