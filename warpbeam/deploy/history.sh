#!/bin/bash
# The history of an app on this host: $root/history.jsonl, a JSON line for every activation, for every failure before one, and for
# what else a person did to the app (stop, start, maintenance, a freeze, a reboot).
#
# An activation's line is begun before its job: activation/pending has the job's id, the tenths of a second that its command
# had taken by then, the word for its outcome where it comes to be, and the line as far as it is known (JSON). It is written
# out exactly once: by the job at its end or, where that could not (killed, a crash, a full disk), by whoever comes next.
: "${root?}"

chronicle=$root/history.jsonl
pending=$root/activation/pending
# Bytes of its end that are looked at, some 8000 lines: somebody may have made it endless.
newest=4194304

# read_pending: whether a line was begun; sets pending_job, pending_spent, pending_success, pending_entry.
read_pending() {
  [[ -e $pending || -L $pending ]] || return 1
  text_of "$pending" 131072 && {
    read -r pending_job && read -r pending_spent && read -r pending_success && read -r pending_entry
  } <<<"$REPLY" && [[ $pending_job != *[!0-9a-f]* && $pending_success != *[!a-z\ ]* && $pending_entry == '{'*'}' ]] &&
    is_count "$pending_spent" && return 0
  # Cut short by a crash, or not ours: nobody will know more.
  rm -rf -- "$pending"
  return 1
}

# written JOB: whether the history has the line of that activation.
written() { plain "$chronicle" && tail -c "$newest" -- "$chronicle" | grep -F "\"job\":\"$1\"" >/dev/null; }

# whole_lines: takes a last line away that a crash or a full disk cut short; whoever wrote it still has it pending. No file
# that is empty is left, either.
# (What is no history of ours, a pipe or a line without a beginning, is put aside.)
whole_lines() {
  local cut
  if [[ -L $chronicle || (-e $chronicle && ! -f $chronicle) ]]; then rm -rf -- "$chronicle"; fi
  if [[ -s $chronicle && -n $(exec tail -c 1 -- "$chronicle") ]]; then
    cut=$(tail -c "$newest" -- "$chronicle" | tail -n 1 | wc -c)
    if ((cut < newest)); then truncate -s "-$cut" -- "$chronicle"; else mv -fT -- "$chronicle" "$chronicle.damaged"; fi
  fi
  if [[ -e $chronicle && ! -s $chronicle ]]; then rm -f -- "$chronicle"; fi
}

# append LINE: all of it is in the history and on the disk, or nothing of it.
append() {
  whole_lines
  { printf '%s\n' "$1" >>"$chronicle" && sync -- "$chronicle"; } 2>/dev/null && return 0
  # What is not surely on the disk is taken back.
  if [[ $(tail -c "$newest" -- "$chronicle" 2>/dev/null | tail -n 1) == "$1" ]]; then truncate -s "-$((${#1} + 1))" -- "$chronicle"; fi
  whole_lines
  return 1
}

# write_out OUTCOME TENTHS PROBLEM: completes the line that was begun. PROBLEM is a JSON string. False: there is no room for it.
write_out() {
  append "${pending_entry%\}},\"job\":\"$pending_job\",\"outcome\":\"$1\",\"seconds\":$(($2 / 10)).$(($2 % 10)),\"problem\":$3}" || return 1
  # One that stays is of a line that is there, which whoever comes next sees.
  rm -f -- "$pending" || true
}

# settle: writes out what an activation could not, unless it still runs. For whoever has the lock, so that none begins meanwhile.
settle() {
  local said='' outcome problem='""' live release_a release_b live_release
  # Asked of the file first: that costs nothing.
  if [[ ! -e $pending ]] || activating || ! read_pending; then return 0; fi
  whole_lines
  if written "$pending_job"; then
    rm -f -- "$pending"
    return 0
  fi
  if result_of "$pending_job"; then said=$REPLY; fi
  if [[ $said =~ \"job\":\"$pending_job\",\"outcome\":\"([a-z ]+)\" ]]; then
    outcome=${BASH_REMATCH[1]}
    if [[ $said =~ \"message\":(\"([^\"\\]|\\.)*\") ]]; then problem=${BASH_REMATCH[1]}; fi
  else
    outcome=unknown
    read_links
    if [[ -n $live ]]; then live="\`current\` leads to $live_release"; else live='nothing is live'; fi
    quoted "the activation was ended before it could tell (killed, or the host went down); $live"
    problem=$REPLY
  fi
  write_out "$outcome" "$pending_spent" "$problem"
}
