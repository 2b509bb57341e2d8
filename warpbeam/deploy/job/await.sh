#!/bin/bash
# Waits until an instance is healthy.
#
# Parameters: those of health.sh.
: "${health_settle?}" "${health_deadline?}" "${health_pauses?}"

# await SLOT [undoing]: waits until the slot's instance is healthy and (unless undoing) has stayed healthy for
# `health_settle` hundredths of a second. False: it did not become healthy; `reason` says why.
await() {
  local slot=$1 began waited healthy_since='' next=0 note_after=$first_note look_after=1
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
