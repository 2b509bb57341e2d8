#!/bin/bash
# The verb `maintenance`.

# html TEXT: puts TEXT, escaped for a page, in REPLY.
html() {
  REPLY=${1//'&'/'&amp;'}
  REPLY=${REPLY//'<'/'&lt;'}
  REPLY=${REPLY//'>'/'&gt;'}
  REPLY=${REPLY//'"'/'&quot;'}
}

# write_page TEXT: writes the page with TEXT, so that a power loss leaves a whole one.
write_page() {
  local body
  html "$1"
  body="<!DOCTYPE html>
<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Maintenance</title></head>
<body style=\"font: 1.2em/1.5 sans-serif; max-width: 34em; margin: 20vh auto; padding: 0 1em\">\
<p>$REPLY</p></body></html>
"
  printf 'HTTP/1.1 503 Service Unavailable\r\n%s\r\nContent-Length: %s\r\n\r\n%s' \
    $'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nRetry-After: 120\r\nConnection: close' \
    "${#body}" "$body" >"$ETC/maintenance.http.new"
  sync -- "$ETC/maintenance.http.new"
  mv -fT -- "$ETC/maintenance.http.new" "$ETC/maintenance.http"
}

# Input: on or off; after on, the text of the page, at most 1000 bytes without control characters. Without a text, the
# page that is shown already keeps its own.
verb_maintenance() {
  local text round
  input 'on or off'
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
