#!/bin/bash
# The page that clients get during maintenance: the whole response, with status, headers and HTML.

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
