#!/bin/bash
# The job of an activation: starts a release in the idle slot, and makes it live when it is healthy. It runs on the host
# as the deploy user, in $app-activate.service; the privileged helper does what needs root. Its records go to
# activation/log, its result to activation/result.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), release (to make
# live), those of health.sh, strategy (restart: the old instance stops first; blue-green: it drains when the new one has
# the traffic), drain (seconds), withdraw (true: the release that was live is marked as rolled back from), job_id (its
# result and its history entry have it), publics (for each pair of `ports`, the public port that leads there),
# balancer_drain (seconds that the live instance answers 503 at its health path before anything is switched).
: "${strategy?}" "${drain?}" "${balancer_drain?}" "${publics?}"
: "${root?}" "${app?}" "${helper?}" "${release?}" "${withdraw?}" "${job_id?}"

cd -- "$root/activation"
exec >>log 2>&1
trap 'cancelled=true' TERM INT HUP
cancelled=false

# A log line that a full disk does not take must not end the job.
record() { printf '\036%s\n' "$1" 2>/dev/null || true; }

# with_spare_space COMMAND ...: runs COMMAND; where it fails (the disk may be full by now), frees the spare space that
# activate.sh reserved, and runs it again.
with_spare_space() {
  "$@" 2>/dev/null || {
    rm -rf -- spare
    "$@"
  }
}

# end_with KIND JSON OUTCOME [PROBLEM]: writes the history entry, then the result: a command that has received the
# result finds the entry. The result is written aside and renamed, so that a reader sees all of it or nothing. OUTCOME
# and PROBLEM (a JSON string) are for the entry. Where the disk has no room for it, finish.sh writes it after pruning.
end_with() {
  hundredths
  if [[ $opened == true ]]; then
    with_spare_space write_out "$3" "$(((REPLY - began_hundredths) / 10 + pending_spent))" "${4-\"\"}" || true
  fi
  with_spare_space write_result "$1" "$2" "$3"
  mv -f -- result.new result
  # Sync the rename too: otherwise a power loss soon after takes the result back, though not the release.
  sync -- . || true
}
write_result() {
  printf '\036{"job":"%s","outcome":"%s","%s":%s}\n' "$job_id" "$3" "$1" "$2" >result.new && sync -- result.new
}

mark() { with_spare_space add_mark "$1" "$2"; }
unmark() { remove_mark "$1" "$2"; }

# The privileged helper stays open as long as the job runs, which calls it a dozen times.
coproc { exec sudo -n -- "$helper" serve; }
# Use fds 8 and 9: bash does not pass a coproc's own fds to subshells (bash(1), Coprocesses), and shared parts use
# lower ones.
exec 8>&"${COPROC[1]}" 9<&"${COPROC[0]}"
trap '' PIPE

# call_helper VERB [INPUT]: has the helper run VERB; its output is in `helper_said`. Returns the verb's status.
call_helper() {
  local said
  helper_said=''
  { printf '%s\n' "$@" >&8; } 2>/dev/null || return 1
  while IFS= read -r said <&9; do
    if [[ $said == '= '* ]]; then return "${said#= }"; fi
    helper_said+=$said
  done
  return 1
}

stopped='it was asked to stop'
asked_to_stop() { [[ $cancelled == true || -e cancel ]]; }

# hundredths: the uptime in hundredths of a second, in REPLY.
hundredths() { read -r REPLY _ </proc/uptime; REPLY=${REPLY/./}; }
hundredths
began_hundredths=$REPLY
opened=true
read_pending || opened=false

# await SLOT [undoing]: waits until the slot's instance is healthy and (unless undoing) has stayed healthy for
# `health_settle` hundredths of a second. False: it did not become healthy; `reason` says why.
await() {
  local slot=$1 began waited healthy_since='' next=0 note_after=5 look_after=1
  uptime_seconds
  began=$REPLY
  remember_instance "$slot"
  while true; do
    if ! is_running "$slot"; then
      reason='it ended by itself'
      owned "$slot" || reason+="; $stranger"
      return 1
    fi
    if answers "$slot"; then
      hundredths
      healthy_since=${healthy_since:-$REPLY}
      if [[ ${2-} == undoing ]] || ((REPLY - healthy_since >= health_settle)); then
        # Check who listens only now that the answer would count: the check starts a process.
        if owned "$slot"; then
          # Not when undoing: an earlier version of Warpbeam may have started the old instance.
          if [[ ${2-} != undoing ]] && shows_cookie "$pid"; then
            reason='it has a cookie of its own in its arguments (-setcookie), which every user of the host can read:'
            reason+=' take it out of rel/'
            return 1
          fi
          return 0
        fi
        healthy_since=''
      fi
    else
      healthy_since=''
    fi
    since "$began"
    waited=$REPLY
    if [[ -z $healthy_since ]] && ((waited >= health_deadline)); then
      reason="it was not healthy within $health_deadline s: $(health_asked "$slot")"
      return 1
    fi
    if [[ ${2-} != undoing ]] && asked_to_stop; then
      reason=$stopped
      return 1
    fi
    # Seldom, because the check starts a process. Waiting does not help an instance that listens where no client comes;
    # see that twice before giving up, because an instance may open its sockets one after the other.
    if [[ -z $healthy_since ]] && ((waited >= look_after)); then
      look_after=$((waited * 2))
      if [[ -n $unreached ]] && ! owned "$slot" && [[ -n $unreached ]]; then
        reason=$unreached
        return 1
      fi
      elsewhere "$slot" || true
    fi
    if [[ -z $healthy_since ]]; then note_unhealthy "$slot" "$waited"; fi
    pause "${health_pauses[next]}"
    if ((next + 1 < ${#health_pauses[@]})); then next=$((next + 1)); fi
  done
}

read_links
left=$live_release
if [[ $live == a ]]; then idle=b; else idle=a; fi
printf -v began_at '%(%s)T'

if [[ $strategy == blue-green ]]; then listen_drops_before=$(listen_drops); fi

switched=false
# finish_with SLOT [LEAST NEW]: drains the instance in SLOT until no client is connected to it, LEAST seconds at least
# and `drain` seconds at most; `cut` is how many connections are open then. False: the instance in slot NEW has ended.
finish_with() {
  local began
  uptime_seconds
  began=$REPLY
  call_helper drain "$1" || true
  # `<=`, because these are whole seconds: a drain is never shorter than promised.
  while connections "$1" && cut=$REPLY && since "$began" && (((cut > 0 || REPLY < ${2-0}) && REPLY <= drain)); do
    if [[ -n ${3-} ]] && ! is_running "$3"; then return 1; fi
    pause 0.2
  done
  [[ -z ${3-} ]] || is_running "$3"
}

# give_up REASON: restores what was live before, writes a result with the app's own last lines, and ends the job.
give_up() {
  trap - ERR
  set +e
  local why=$1 lines=() message outcome=failed serving='nothing was live before' again=again \
    hint='`fab ENV logs` shows what the app says of itself'
  step undo
  # First of all, new connections go to the old instance, which is still running (with `restart` it is not yet).
  if [[ -n $live && $strategy == blue-green ]]; then
    call_helper switch "$live" || true
    if [[ $switched == false ]]; then
      again='as before'
    elif is_running "$idle"; then
      # Clients that were led to the new instance by then get their answers.
      finish_with "$idle"
    fi
  fi
  call_helper abandon "$idle" || call_helper stop "$idle" || true
  if [[ $why != "$stopped" ]]; then
    # A restart that failed says nothing against the release that was live, and serves again.
    [[ $release == "$left" ]] || mark "$release" failed || true
    # Lines of the slot's unit since the job began, with the two lines that systemd writes about each start.
    mapfile -t lines < <(printf '%s\n' 40 "@$began_at" '' "$idle" '' | knock_logs)
    if ((${#lines[@]})); then hint="the lines above are the app's own; \`fab ENV logs\` shows more"; fi
  fi
  rm -f -- "$root/slots/$idle" || true
  if [[ -n $live ]]; then
    call_helper undrain "$live" || true
    call_helper start "$live" || true
    if await "$live" undoing; then
      serving="the old release $left is serving $again, healthy"
    else
      serving="the old release $left was started again but is NOT healthy: $reason"
    fi
    call_helper reconcile || true
  fi
  if [[ $why == "$stopped" ]]; then outcome=interrupted; fi
  quoted "$release did not become live: $why; $serving"
  message=$REPLY
  array "${lines[@]}"
  object message: "$message" hint "$hint" lines: "$REPLY"
  end_with failed "$REPLY" "$outcome" "$message"
  exit 1
}

knock_logs() { sudo -n -- "$helper" logs | tail -n 25; }

[[ -d $releases/$release/.warpbeam ]] || {
  quoted "the release $release is not on this host"
  message=$REPLY
  object message: "$message" hint ''
  end_with failed "$REPLY" failed "$message"
  exit 1
}

# conclude: ends the job once the release is live. Where something has failed since then (`tidy` is false), its status
# is not 0, so that ExecStopPost= has the helper reconcile what runs with `current`.
cut=0 tidy=true
conclude() {
  trap - ERR
  set +e
  hundredths
  object slot "$idle" release "$release" left "$left" pid: "$pid" seconds: "$(((REPLY - began_hundredths) / 100))" \
    cut: "$cut" maintenance: "$maintenance"
  end_with answer "$REPLY" "${pending_success:-done}"
  [[ $tidy == true ]]
  exit
}

# unforeseen LINE COMMAND: handles a command that failed unexpectedly. Before the rename of `current` the activation is
# undone; after it the release is live, and stays so.
renamed=false
unforeseen() {
  local status=$?
  printf 'line %s: status %s: %s\n' "$1" "$status" "$2" >&2
  if ((BASH_SUBSHELL > 0)); then return 0; fi
  if [[ $renamed == true ]]; then
    warn "\`$2\` failed with status $status after the release had become live"
    tidy=false
    conclude
  fi
  give_up \
    "\`$2\` failed with status $status ($(df --output=avail -h -- "$root" | tail -n 1 | tr -d ' ') of disk are free)"
}
trap 'unforeseen "$LINENO" "$BASH_COMMAND"' ERR

# An instance that is left in the idle slot (started by hand, or still ending) would answer in the new one's place.
# systemd keeps this directory as long as the instance is there (RuntimeDirectory=, systemd.exec(5)).
if [[ -e /run/$app-$idle ]]; then
  call_helper stop "$idle" || give_up "what was left in slot $idle could not be stopped"
fi

step link
with_spare_space point "$root/slots/$idle" "../releases/$release"

if asked_to_stop; then give_up "$stopped"; fi
# leave_balancer: has load balancers that ask for health take this host out; `give_up` puts it back in.
leave_balancer() {
  local began
  if [[ -z $live ]] || ((balancer_drain == 0)); then return 0; fi
  step balancer
  call_helper drain "$live" || true
  uptime_seconds
  began=$REPLY
  # `<=`, because these are whole seconds: never less than `balancer_drain`.
  while since "$began" && ((REPLY <= balancer_drain)); do
    if asked_to_stop; then give_up "$stopped"; fi
    if [[ $strategy == blue-green ]] && ! is_running "$idle"; then give_up 'it ended by itself'; fi
    pause 0.2
  done
}

if [[ -n $live && $strategy == restart ]]; then
  leave_balancer
  step stop-old
  call_helper stop "$live" || give_up "the old instance could not be stopped"
fi

step start
call_helper start "$idle" || give_up 'its unit could not be started'

step health
await "$idle" || give_up "$reason"

if [[ -n $narrow ]]; then warn "$narrow"; fi

# through_public SLOT: true when each public port leads to the instance in SLOT, which listens in `places`; else
# `reason` names the port that does not. The job asks from this host, where the redirect leads to loopback: a port whose
# listeners have no such address is not asked.
through_public() {
  local i port place address path status tries
  for i in "${!publics[@]}"; do
    if [[ $1 == a ]]; then port=${ports[2 * i]}; else port=${ports[2 * i + 1]}; fi
    address=''
    for place in "${places[@]}"; do
      case $place in
        "$port *" | "$port 0.0.0.0" | "$port 127.0.0.1") address=${outward4:-127.0.0.1} ;;
        "$port [::]" | "$port [::1]") address=${address:-${outward6:-::1}} ;;
      esac
    done
    if [[ -z $address ]]; then continue; fi
    path='' status=connected
    if ((i == 0)) && [[ -z $health_rpc ]]; then path=$health_path status=$health_status; fi
    # Three times: an instance may be too busy to answer once.
    for tries in 1 2 3; do
      if http_answers "${publics[i]}" "$path" "$status" "$health_timeout" "$address"; then continue 2; fi
      pause 0.2
    done
    reason="the public port ${publics[i]}, asked at $address${path:+ for $path}, said $health_said; expected $status"
    return 1
  done
}

if [[ $strategy == blue-green ]]; then leave_balancer; fi
step switch
switched=true
call_helper switch "$idle" || {
  owned "$idle" || true
  give_up "the firewall redirect could not be moved${stranger:+: $stranger}"
}
maintenance=false
if [[ $helper_said == 'maintenance on' ]]; then maintenance=true; fi
if [[ $helper_said == 'maintenance off' ]]; then through_public "$idle" || give_up "$reason"; fi

step current
was_healthy=false
if was_live "$release"; then was_healthy=true; fi
with_spare_space mark_live "$release"
unmark "$release" failed
unmark "$release" withdrawn
if [[ $withdraw == true && -n $left && $left != "$release" ]]; then mark "$left" withdrawn; fi
# The release itself was synced at its upload; this syncs the slot's link and the marks.
sync -f -- "$releases"
with_spare_space point "$root/current" "slots/$idle"
renamed=true
sync -f -- "$root"

# go_back: gives all traffic back to the old instance, because the new one ended while the old one was draining.
go_back() {
  step back
  call_helper undrain "$live" || true
  call_helper switch "$live" || true
  with_spare_space point "$root/current" "slots/$live"
  renamed=false
  sync -f -- "$root"
  # Remove the mark only now: `current` never leads to a release without it. A release that was live before keeps it,
  # so that a rollback or a restart that fails does not have an old release pruned.
  if [[ $was_healthy == false ]]; then unmark_live "$release"; fi
  if [[ $withdraw == true ]]; then unmark "$left" withdrawn; fi
  give_up 'it ended by itself soon after it had become live'
}

# Switch again: a reload of the firewall's rules since the first switch has followed the old link.
call_helper switch "$idle" || tidy=false
if [[ -n $live && $strategy == blue-green ]]; then
  step drain
  least=0
  if (($(listen_drops) != listen_drops_before)); then least=5; fi
  finish_with "$live" "$least" "$idle" || go_back
  step stop-old
  call_helper stop "$live" || tidy=false
fi

conclude
