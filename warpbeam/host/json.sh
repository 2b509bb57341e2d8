#!/bin/bash
# Writes JSON. The phases contain this file, and so does the privileged helper.

# quoted TEXT: TEXT as a JSON string, in REPLY. Control characters without a short form in JSON become spaces.
quoted() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  text=${text//[$'\001'-$'\037']/ }
  REPLY="\"$text\""
}

# object KEY VALUE ...: a JSON object, in REPLY. KEY `name` takes a text; KEY `name:` takes JSON as it is.
object() {
  local body='' key
  while (($#)); do
    key=$1
    case $key in
      *:) REPLY=${2:-null} key=${key%:} ;;
      *) quoted "$2" ;;
    esac
    body+="${body:+,}\"$key\":$REPLY"
    shift 2
  done
  REPLY="{$body}"
}

# array TEXT ...: a JSON array of texts, in REPLY.
array() {
  local body='' text
  for text; do
    quoted "$text"
    body+="${body:+,}$REPLY"
  done
  REPLY="[$body]"
}
