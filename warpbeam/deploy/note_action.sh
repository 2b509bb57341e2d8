#!/bin/bash
# The history entry of a script that acts on the app at a person's request and is no activation.
#
# Parameters: entry (its first fields, as arguments of `object`: at, what, who, warpbeam).
: "${entry?}"
uptime_seconds
action_began=$REPLY

# note_action OUTCOME [PROBLEM]: appends the entry, with what is live (call read_links before) and the seconds since
# this script began. Do not call it under `guard`, which locks the same file. Without room for the entry, it only
# warns: the action was done.
note_action() {
  since "$action_began"
  object "${entry[@]}" outcome "$1" release "$live_release" problem "${2-}" seconds: "$REPLY"
  clear_guard
  { flock -w 5 7 && append "$REPLY"; } 7>"$guard_file" || warn 'the history could not be written'
}
