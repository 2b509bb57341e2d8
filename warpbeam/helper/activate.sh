#!/bin/bash
# The verb `activate`: starts the job of an activation.

verb_activate() {
  # Input: a release and the digest of its content, or nothing.
  REPLY=''
  IFS= read -r -t 30 -n 256 REPLY 2>/dev/null || true
  if [[ -n $REPLY ]]; then
    [[ $REPLY =~ ^([0-9]{8}T[0-9]{6}Z)\ ([0-9a-f]{64})$ ]] ||
      die 'expected a release and a sha256, or nothing, on standard input'
    remember "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  fi
  # The job runs as the deploy user. This call waits for its end; killing this call does not end the job.
  systemctl start -- "$app-activate.service"
}
