#!/bin/bash
# Starts the activation of a release as a unit of its own, and follows it. A lost connection changes nothing there.
#
# Standard input: the text of the job. (As a parameter it would cost 10 ms of the processor for bash to expand.)
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), token (ours, of the
# lock), lease (seconds), those of prune.sh, job_size (bytes of the job), remember (`RELEASE SHA256`: the content that
# goes live, for the privileged helper to keep; or empty), job_id, spent, success, entry (the pending history entry: the
# arguments of begin_entry), ends (true: this is the command's last phase on this host; where the activation succeeds,
# this script also does the work of finish.sh, and answers that it has `given_back` the lock).
: "${ends?}" "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${job_size?}" "${remember?}" "${job_id?}"
: "${spent?}" "${success?}" "${entry?}"

IFS= read -rN "$job_size" job || refuse 'the job did not arrive whole' 'nothing was begun; run the same command again'
still_ours "$lease"
# Check the file first, which costs no process: it is there from the end of one job to the beginning of the next.
if [[ ! -e $root/activation/result ]] && activating; then
  refuse 'an activation is running on this host' 'wait for it; `fab ENV status` shows how it ends'
fi
cd -- "$root/activation"
# Write the entry of an earlier activation by the same command.
settle || true
# Each file is made anew, never emptied: somebody may hold a descriptor of the old one, and would write into the job.
rm -rf -- cancel result result.new spare log job pending helper.out
# `spare` holds room, in bytes and in inodes, that the job frees to write its result on a full disk.
{
  : >log
  printf '%s' "$job" >job
  begin_entry "$job_id" "$spent" "$success" "${entry[@]}"
  mkdir -- spare
  for file in spare/{1..8}; do printf '%8192s' '' >"$file"; done
} 2>/dev/null || {
  rm -rf -- spare job pending
  refuse "$root is on a full disk: the activation was not begun" 'make room there, then run the same command again'
}
# A crash from here on leaves a pending entry, which `settle` writes out.
sync -- pending . || true

# Ctrl-C asks the job to stop: before the rename of `current` it undoes its work, after the rename it finishes. Its
# result says which.
asked=false
trap 'asked=true; : >"$root/activation/cancel"' TERM INT HUP
# shellcheck disable=SC2024 # the file is this user's own
sudo -n -- "$helper" activate <<<"$remember" >helper.out 2>&1 &
starter=$!
tail --pid="$starter" --sleep-interval=0.02 --lines=+1 --follow log &
follower=$!
while kill -0 "$follower" 2>/dev/null; do wait "$follower" || true; done
while kill -0 "$starter" 2>/dev/null; do wait "$starter" || true; done
# Asked to stop, `sudo` ends before the job does: the job still has its entry and its result to write.
settled=false
if [[ $asked == false ]] && settle; then settled=true; fi
if result_of "$job_id"; then
  given_back=false
  if [[ $ends == true && $settled == true && $result_kind == answer ]] && held && [[ $held_token == "$token" ]]; then
    # A refusal of `let_go` is no refusal of the activation: the lock is then left to finish.sh.
    if prune && (let_go) >/dev/null; then given_back=true; fi
  fi
  if [[ $result_kind == answer ]]; then
    answer activated: "$result_ending" given_back: "$given_back"
  else
    record_result
  fi
else
  mapfile -t lines < <(tail -n 20 -- helper.out)
  read_links
  serving='nothing is live'
  if [[ -n $live ]]; then serving="\`current\` leads to $live_release"; fi
  fail "the activation ended without a result; $serving" "see journalctl -u $app-activate.service on the host" \
    "${lines[@]}"
fi
