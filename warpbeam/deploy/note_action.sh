#!/bin/bash
# A line of history for a script that does something to the app which is no activation, on a person's word.
#
# Parameters: entry (JSON: at, what, who).
: "${entry?}"
uptime_seconds
noted_since=$REPLY

# noted OUTCOME [PROBLEM]: the history has that line, with what is live (read_links) and the seconds since this script began. Not for who
# is under `guard`. Where there is no room for a line, the thing was done all the same.
noted() {
  local line
  quoted "${2-}"
  line="${entry%\}},\"outcome\":\"$1\",\"release\":\"$live_release\",\"problem\":$REPLY"
  since "$noted_since"
  line+=",\"seconds\":$REPLY}"
  clear_guard
  { flock -w 5 7 && append "$line"; } 7>"$lock.guard" || warn 'the history could not be written'
}
