#!/bin/bash
# Reads the records of phases (host/common.sh) on the host, and shows them as lines for a log.

say() { printf '%s\n' "$1"; }

# unquoted JSON: the text of a JSON string that `quoted` wrote, in REPLY.
unquoted() {
  local text=${1#\"}
  text=${text%\"}
  # `quoted` leaves no control character, so this one stands in for a backslash meanwhile.
  text=${text//\\\\/$'\001'}
  text=${text//\\n/$'\n'}
  text=${text//\\r/}
  text=${text//\\t/$'\t'}
  text=${text//\\\"/\"}
  text=${text//\\\//\/}
  REPLY=${text//$'\001'/\\}
}

# value_of JSON KEY: the text, number or word that KEY has in JSON, in REPLY; false, and empty, where it has none. A
# quote within a text has a backslash, so a text never looks like a key.
value_of() {
  local pattern="\"$2\":(\"[^\"\\\\]*(\\\\.[^\"\\\\]*)*\"|[a-z0-9]+)"
  REPLY=''
  [[ $1 =~ $pattern ]] || return 1
  REPLY=${BASH_REMATCH[1]}
  if [[ $REPLY == \"* ]]; then unquoted "$REPLY"; fi
}

# texts_of JSON KEY: the texts of the array that KEY has in JSON, in `texts`.
texts_of() {
  local rest=$1 pattern='^("[^"\\]*(\\.[^"\\]*)*")[],]'
  texts=()
  [[ $rest == *"\"$2\":[\""* ]] || return 0
  rest=${rest#*"\"$2\":["}
  while [[ $rest =~ $pattern ]]; do
    rest=${rest:${#BASH_REMATCH[0]}}
    [[ ${BASH_REMATCH[0]} == *, ]] || rest=''
    unquoted "${BASH_REMATCH[1]}"
    texts+=("$REPLY")
  done
}

# Characters of a line that are read, and shown: bash takes the square of a text's length to take it apart, and a
# program may print megabytes without a line end. The reason of a failure stands at the beginning of its record.
MOST_HEARD=32768 MOST_SHOWN=4000

# show_text RECORD BEGINNING: shows the one text of a record, after BEGINNING.
show_text() {
  local text=${1#*:}
  text=${text:0:MOST_SHOWN}
  unquoted "${text%'}'}"
  say "$2$REPLY"
}

# hear LINE: shows a record that a phase prints, or keeps its ending: `ending` (answer, refused or failed), `said` (the
# record), and of a refusal or failure `message`, `hint`, `kind` and `texts`. Other output is ignored.
hear() {
  local record=${1:0:MOST_HEARD}
  [[ $record == *$'\036'* ]] || return 0
  record=${record#*$'\036'}
  case $record in
    '{"step":'*) show_text "$record" '- ' ;;
    '{"note":'*) show_text "$record" '' ;;
    '{"line":'*) show_text "$record" '  ' ;;
    '{"warn":'*) show_text "$record" 'warning: ' ;;
    '{"answer":'*) ending=answer said=$record ;;
    '{"refused":'* | '{"failed":'*)
      ending=${record#'{"'} said=$record
      ending=${ending%%\"*}
      value_of "$record" kind || true
      kind=$REPLY
      value_of "$record" hint || true
      hint=$REPLY
      texts_of "$record" lines
      value_of "$record" message || true
      message=$REPLY
      ;;
  esac
}
