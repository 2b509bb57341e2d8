#!/bin/bash
# An HTTP client that asks this host's own ports.

# http_answers PORT PATH STATUS SECONDS [ADDRESS]: ask this host's own port once, at an address of its own: whether it
# answers STATUS within SECONDS. An empty PATH asks only for a connection; its STATUS is `connected`.
http_answers() {
  local status=''
  # bash cannot limit the time of its own connect(2), so a subshell connects. No program is started: this runs several
  # times a second.
  read -r -t "$4" status < <(ask "$1" "$2" "${5-127.0.0.1}" 2>/dev/null) || kill "$!" 2>/dev/null || true
  health_said=${status:-no answer}
  [[ $status == "$3" ]]
}

# ask PORT PATH ADDRESS: print the status of the answer, or `no HTTP`; nothing where there is no answer. Run it in a
# process of its own.
ask() {
  local word='' status
  exec 3<>"/dev/tcp/$3/$1" || exit 1
  if [[ -z $2 ]]; then
    echo connected
    return 0
  fi
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: warpbeam\r\nConnection: close\r\n\r\n' "$2" >&3
  # -n: an app may begin a line and never end it.
  while IFS=' ' read -r -n 4096 word status _ <&3; do
    status=${status%%[!0-9]*}
    case $word,$status in
      # Interim answers (RFC 9110, 15.2), each with its header fields, may come before the final one.
      HTTP/*,10[023]) while IFS= read -r -n 4096 word <&3 && [[ -n ${word%$'\r'} ]]; do :; done ;;
      HTTP/*,?*) echo "${status:0:4}"; return ;;
      *) break ;;
    esac
  done
  [[ -z $word || HTTP/ == "${word:0:5}" ]] || echo 'no HTTP'
}
