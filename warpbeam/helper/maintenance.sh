#!/bin/bash
# The verb `maintenance`.

# Input: on or off; after on, the text of the page, at most 1000 bytes without control characters. Without a text, the
# page that is shown already keeps its own.
verb_maintenance() {
  local text round
  input 'on or off'
  [[ -n $PAGE_PORT ]] || die 'this host serves no HTTP, so that it has no page'
  case $REPLY in
    on)
      text=$(head -c 1001 | tr -d '\0')
      ((${#text} <= 1000)) || die 'expected a text of 1 to 1000 bytes after `on`'
      [[ $text != *[$'\001'-$'\037'$'\177']* ]] || die 'the text holds a control character'
      lock
      if [[ -n $text ]]; then
        write_page "$text"
      elif ! in_maintenance || [[ ! -s $ETC/maintenance.http ]]; then
        die 'expected a text after `on`: no page is shown'
      fi
      : >"$ETC/maintenance"
      sync -- "$ETC/maintenance" "$ETC"
      read_links
      redirect "$live"
      ;;
    off)
      lock
      rm -f -- "$ETC/maintenance"
      sync -- "$ETC"
      read_links
      redirect "$live"
      # Clients that were led to the page get their answer first: a socket that closes resets the connections in it.
      for round in {1..50}; do
        [[ -n $(ss -Htn state established state syn-recv "( sport = :$PAGE_PORT )") ]] || break
        sleep 0.1
      done
      systemctl stop -- "$app-maintenance.socket"
      rm -f -- "$ETC/maintenance.http"
      ;;
    *) die 'expected on or off on standard input' ;;
  esac
}
