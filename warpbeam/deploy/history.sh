#!/bin/bash
# The history of an app on this host: $root/history.jsonl, a JSON line for every activation, for every failure before
# one, and for every other action of a person on the app (stop, start, maintenance, a freeze, a reboot).
#
# An activation's entry is begun before its job, in activation/pending. The entry is written out exactly once: by the
# job at its end or, where the job could not (killed, a crash, a full disk), by the next command that has the lock or
# reads the history.
#
# Parameters: root (the app's directory).
: "${root?}"

history_file=$root/history.jsonl
pending=$root/activation/pending
# The most bytes that are read at its end, some 8000 lines: somebody may have made the history endless.
newest=4194304

# begin_entry JOB SPENT SUCCESS FIELD ...: writes the pending entry, four lines: the job's id, the tenths of a second
# that its command had taken by then, the outcome's name in case of success, and the fields that are known, separated by
# tabs, which their JSON does not have (arguments of `object`).
begin_entry() {
  local IFS=$'\t'
  printf '%s\n' "${@:1:3}" "${*:4}" >"$pending"
}

# read_pending: true when an entry was begun; sets pending_job, pending_spent, pending_success, pending_fields.
read_pending() {
  local line
  [[ -e $pending || -L $pending ]] || return 1
  # Read it whole first, which bounds it. From the file, a `read` fails on a last line that was cut short.
  text_of "$pending" 131072 && {
    read -r pending_job && read -r pending_spent && read -r pending_success && read -r line
  } <"$pending" && [[ $pending_job != *[!0-9a-f]* && $pending_success != *[!a-z\ ]* ]] && is_count "$pending_spent" &&
    read_fields "$line" && return 0
  # A crash cut it short, or it is not ours: nothing can complete it.
  rm -rf -- "$pending"
  return 1
}

# read_fields LINE: the fields of the pending entry, in pending_fields. Warpbeam before 0.2 wrote them as a JSON object.
read_fields() {
  local text=$1
  IFS=$'\t' read -r -a pending_fields <<<"$1"
  if [[ $1 != '{'* ]]; then
    ((${#pending_fields[@]} > 0 && ${#pending_fields[@]} % 2 == 0))
    return
  fi
  # It wrote some 600 characters. The loop takes a time that grows with their square.
  ((${#text} <= 4096)) || return 1
  pending_fields=()
  while [[ $text =~ ^[{,]\"([a-z]+)\":(\"([^\"\\]|\\.)*\"|[a-z]+)(.*)$ ]]; do
    pending_fields+=("${BASH_REMATCH[1]}:" "${BASH_REMATCH[2]}")
    text=${BASH_REMATCH[4]}
  done
  [[ $text == '}' ]]
}

# written JOB: true when the history has the entry of that activation.
written() { plain "$history_file" && tail -c "$newest" -- "$history_file" | grep -F "\"job\":\"$1\"" >/dev/null; }

# whole_lines: removes a last line that a crash or a full disk cut short, whose writer still has it pending, and a
# history that is empty or no plain file. A history whose last line has no beginning is moved to history.jsonl.damaged.
whole_lines() {
  local cut
  if [[ -L $history_file || (-e $history_file && ! -f $history_file) ]]; then rm -rf -- "$history_file"; fi
  if [[ -s $history_file && -n $(exec tail -c 1 -- "$history_file") ]]; then
    cut=$(tail -c "$newest" -- "$history_file" | tail -n 1 | wc -c)
    if ((cut < newest)); then
      truncate -s "-$cut" -- "$history_file"
    else
      mv -fT -- "$history_file" "$history_file.damaged"
    fi
  fi
  if [[ -e $history_file && ! -s $history_file ]]; then rm -f -- "$history_file"; fi
}

# append LINE: adds LINE to the history, on the disk. False: nothing was added.
append() {
  whole_lines
  { printf '%s\n' "$1" >>"$history_file" && sync -- "$history_file"; } 2>/dev/null && return 0
  # Take back a line that may not be on the disk.
  if [[ $(tail -c "$newest" -- "$history_file" 2>/dev/null | tail -n 1) == "$1" ]]; then
    truncate -s "-$((${#1} + 1))" -- "$history_file"
  fi
  whole_lines
  return 1
}

# write_out OUTCOME TENTHS PROBLEM: completes the pending entry and appends it. PROBLEM is a JSON string. False: there
# is no room for the entry.
write_out() {
  object "${pending_fields[@]}" job "$pending_job" outcome "$1" seconds: "$(($2 / 10)).$(($2 % 10))" problem: "$3"
  append "$REPLY" || return 1
  # A pending file that stays does no harm: `settle` sees that its entry was written.
  rm -f -- "$pending" || true
}

# settle: writes out the entry that an activation could not, unless the activation still runs. Call it with the lock, or
# under its guard, so that no activation begins meanwhile.
settle() {
  local outcome problem live release_a release_b live_release
  # Check the file first: that costs nothing.
  if [[ ! -e $pending ]] || activating || ! read_pending; then return 0; fi
  whole_lines
  if written "$pending_job"; then
    rm -f -- "$pending"
    return 0
  fi
  if result_of "$pending_job" && [[ $result_outcome != *[!a-z\ ]* && $result_problem =~ ^\"([^\"\\]|\\.)*\"$ ]]; then
    outcome=$result_outcome problem=$result_problem
  else
    outcome=unknown
    read_links
    if [[ -n $live ]]; then live="\`current\` leads to $live_release"; else live='nothing is live'; fi
    quoted "the activation was ended before it could tell (killed, or the host went down); $live"
    problem=$REPLY
  fi
  write_out "$outcome" "$pending_spent" "$problem"
}
