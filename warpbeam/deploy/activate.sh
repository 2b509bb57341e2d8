#!/bin/bash
# Starts the activation of a release as a unit of its own, and follows it. Losing this connection changes nothing there.
#
# Standard input: the text of the job. (As a parameter, bash takes 10 ms of the processor to expand it.)
#
# Parameters: root, app, helper, token, lease, job_size (its bytes), remember (`RELEASE SHA256`: the content of what is put live, for
# the privileged helper to keep; or empty), and what its line of history begins with (see chronicle.sh):
# job_id, spent, success, entry. With `ends` this is the last that the command does on this host: where it goes well, what finish.sh does
# is done here, and given back is told in the answer. Those of prune.sh too.
: "${ends?}"
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${job_size?}" "${remember?}" "${job_id?}" "${spent?}" "${success?}" "${entry?}"

IFS= read -rN "$job_size" job || refuse 'the job did not arrive whole' 'nothing was begun; run the same command again'
still_ours "$lease"
# Asked of the file first, which is there from the end of one job to the beginning of the next.
if [[ ! -e $root/activation/result ]] && activating; then
  refuse 'an activation is running on this host' 'wait for it; `fab ENV status` shows how it ends'
fi
cd -- "$root/activation"
# Of the one before, in the same command.
settle || true
rm -rf -- cancel result result.new spare
# Once it runs it must be able to tell how it ended: `spare` is room, in bytes and in inodes, that it gives up for that.
{
  : >log
  printf '%s' "$job" >job
  printf '%s\n' "$job_id" "$spent" "$success" "$entry" >pending
  mkdir -- spare
  for file in spare/{1..8}; do printf '%8192s' '' >"$file"; done
} 2>/dev/null || {
  rm -rf -- spare job pending
  refuse "$root is on a full disk: the activation was not begun" 'make room there, then run the same command again'
}
# A crash from here on leaves a line that was begun.
sync -- pending . || true

# Ctrl-C asks the job to stop: before the rename it undoes what it did, after it it finishes. Either way it says so.
asked=false
trap 'asked=true; : >"$root/activation/cancel"' TERM INT HUP
# shellcheck disable=SC2024 # the file is this user's own
sudo -n -- "$helper" activate <<<"$remember" >helper.out 2>&1 &
starter=$!
tail --pid="$starter" --sleep-interval=0.02 --lines=+1 --follow log &
follower=$!
while kill -0 "$follower" 2>/dev/null; do wait "$follower" || true; done
while kill -0 "$starter" 2>/dev/null; do wait "$starter" || true; done
# The follower may have been ended with us, or a moment early; records are told twice rather than not at all.
# Asked to stop, `sudo` is gone before the job is: that has its ending still to tell.
settled=false
if [[ $asked == false ]] && settle; then settled=true; fi
if [[ -e result ]]; then
  IFS= read -r -d '' ending <result || true
  if [[ $ends == true && $settled == true && $ending == *'"answer":{'* ]] && held && [[ $held_token == "$token" ]]; then
    # What is refused here is no refusal of the activation: then it is left to finish.sh.
    if prune && (let_go) >/dev/null; then ending=${ending%$'}}\n'}',"given_back":true}}'$'\n'; fi
  fi
  printf '%s' "$ending"
else
  mapfile -t lines < <(tail -n 20 -- helper.out)
  read_links
  serving='nothing is live'
  if [[ -n $live ]]; then serving="\`current\` leads to $live_release"; fi
  fail "the activation ended without a result; $serving" "see journalctl -u $app-activate.service on the host" "${lines[@]}"
fi
