#!/bin/bash
# Deploys a bundle on this host, without a connection: each event runs the same phases as `fab ENV deploy`. Runs as the
# deploy user; CodeDeploy's agent calls it event by event, and a person may (docs/codedeploy.md).
#
# Argument: the event (preflight, upload, activate, validate). Descriptor 4: the manifest of the artifact, 5: its
# tarball, for reading.
#
# Parameters: root (the app's directory), label (the version, for people), entry (fields of the history entry that are
# known: arguments of `object`), digest (of its content), signature (of it, or empty), wait (seconds for somebody
# else's lock), pause_before (seconds until the check of `validate`), migrate_group (of deployments that migrate;
# empty: all), and the texts of the phases, empty where there is nothing to do: claim_text, upload_text, verify_text,
# sign_text, admit_text, migrate_text, activate_text, job_text, serves_text, note_text, finish_text, unlock_text;
# those of perform.sh.
: "${root?}" "${label?}" "${entry?}" "${digest?}" "${signature?}" "${wait?}" "${pause_before?}" "${migrate_group?}"
: "${claim_text?}" "${upload_text?}" "${verify_text?}" "${sign_text?}" "${admit_text?}" "${migrate_text?}"
: "${activate_text?}" "${job_text?}" "${serves_text?}" "${note_text?}" "${finish_text?}" "${unlock_text?}"

# new_id: 32 hexadecimal digits that nothing else has, in REPLY.
new_id() {
  read -r REPLY </proc/sys/kernel/random/uuid
  REPLY=${REPLY//-/}
}

# name_deployment: the deployment and its group, as the agent names them, in `deployment` and `group`; `who` is for the
# lock and the history.
name_deployment() {
  deployment=${DEPLOYMENT_ID-} group=${DEPLOYMENT_GROUP_NAME-}
  deployment=${deployment//[!A-Za-z0-9_.-]/_}
  # Compared as it is; in the lock and the history it is a plain word.
  exact_group=$group
  group=${group//[!A-Za-z0-9 _.+=,@-]/_}
  who="CodeDeploy ${deployment:-by hand}${group:+ ($group)}"
  deployment=${deployment:-by-hand}
}

# tenths: tenths of a second since the deployment began, in REPLY.
tenths() {
  uptime_seconds
  REPLY=$(((REPLY - began) * 10))
  if ((REPLY < 0)); then REPLY=0; fi
}

# known_fields GOING BEFORE: the fields of a history entry but those about the release, in `known`. Each value is JSON:
# activate.sh keeps them with tabs between, among which an empty text would be lost.
known_fields() {
  known=()
  set -- at "$at" what "$why" release "$1" before "$2" who "$who"
  while (($#)); do
    quoted "$2"
    known+=("$1:" "$REPLY")
    shift 2
  done
}

# failure_entry OUTCOME TEXT [JOB]: a whole entry of what failed, in REPLY.
failure_entry() {
  local seconds
  tenths
  seconds=$((REPLY / 10))
  known_fields "$going" "$before"
  known+=("${entry[@]}" outcome "$1" seconds: "$seconds" problem "$2")
  if [[ -n ${3-} ]]; then known+=(job "$3"); fi
  object "${known[@]}"
}

# unlock: gives the lock back; true also where that fails, since the lease ends by itself.
unlock() {
  stop_renewing
  parameter token "$token"
  perform "$unlock_text" || true
}

# leave STATUS: ends the hook.
leave() {
  left=true
  exit "$1"
}

# at_exit: gives the lock back where the hook ends by a fault of its own.
at_exit() {
  if [[ $left == false ]]; then
    if [[ -n $token ]]; then unlock; fi
    say 'error: the hook ended by a fault of its own: the lines above say where'
  fi
}

# complain: shows why a phase did not answer. The last lines are those that CodeDeploy shows.
complain() {
  local text
  for text in "${texts[@]}"; do say "  $text"; done
  say "error: $message"
  if [[ -n $hint ]]; then say "hint: $hint"; fi
}

# give_up [NOTED]: ends the hook after a phase that did not answer, and gives the lock back. NOTED: the history gets an
# entry.
give_up() {
  local what=$message outcome=failed
  complain
  if [[ $interrupted == true ]]; then outcome=interrupted; fi
  if [[ -n ${1-} ]]; then
    failure_entry "$outcome" "$what"
    parameter token "$token"
    parameter entry "$REPLY"
    perform "$note_text" || true
  fi
  unlock
  forget_deployment
  leave 1
}

# resume: takes up the deployment where its last hook left it.
resume() {
  local asked=$deployment
  if ! read_deployment || [[ $deployment != "$asked" ]]; then
    say "error: the hook BeforeInstall of $asked has not run on this host, or another deployment came after it"
    leave 1
  fi
  renew_meanwhile
}

# take_lock: takes the lock, and decides what is to be done here; waits while somebody else has the lock.
take_lock() {
  local noted='' since_then
  uptime_seconds
  since_then=$REPLY
  while true; do
    object who "$who" why deploy since "$at" version "$label"
    parameter token "$token"
    parameter text "$REPLY"
    parameter words "$who since $at (deploy $label)"
    if perform "$claim_text" /dev/fd/4; then return 0; fi
    since "$since_then"
    if [[ $kind != held || $interrupted == true ]] || ((REPLY >= wait)); then return 1; fi
    if [[ $message != "$noted" ]]; then
      noted=$message
      say "$message; waiting for it, $((wait - REPLY)) s at most"
    fi
    pause 2
    if [[ $interrupted == true ]]; then
      message='it was asked to end while it waited for the lock' hint='nothing was changed' texts=()
      return 1
    fi
  done
}

# preflight: takes the lock, checks that this host can run the release, and keeps what was decided.
preflight() {
  local key
  new_id
  token=$REPLY going='' before='' why=deploy job=''
  TZ=UTC printf -v at '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  uptime_seconds
  began=$REPLY
  take_lock || give_up
  for key in going upload activate why before before_version before_commit before_dirty; do
    value_of "$said" "$key" || true
    printf -v "$key" '%s' "$REPLY"
  done
  write_deployment
  if [[ $activate == true && $going == "$before" ]]; then
    say "$going $label is live, but stopped: it is started"
  elif [[ $activate == true ]]; then
    say "$why: from ${before:-nothing} to $going $label"
  else
    say "runs already $going $label"
  fi
}

# check_release RELEASE [DIGEST]: verifies a release that is here; its digest is in `found`. False where it is not as it
# was deployed, or has another digest than DIGEST.
check_release() {
  local recorded
  parameters_of chosen "$1"
  perform "$verify_text" || return 1
  value_of "$said" digest || true
  found=$REPLY
  value_of "$said" recorded || true
  recorded=$REPLY
  texts_of "$said" differs
  value_of "$said" count || true
  if [[ $REPLY == 0 && -n $found && ${2:-$found} == "$found" && ${recorded:-$found} == "$found" ]]; then return 0; fi
  message="the release $1 on this host is not as it was deployed"
  hint='make the bundle again: it gets another name, and every file is sent and verified'
  return 1
}

# upload: makes the release of the artifact in the bundle, or verifies the one that is here; has it admitted.
upload_release() {
  if [[ $activate == false ]]; then return 0; fi
  if [[ $upload == true ]]; then
    parameter token "$token"
    perform "$upload_text" /dev/fd/5 || give_up noted
  else
    check_release "$going" "$digest" || give_up noted
    if [[ -n $sign_text ]]; then
      parameter token "$token"
      parameters_of signatures "$going" "$signature"
      perform "$sign_text" || give_up noted
    fi
  fi
  if [[ -n $admit_text ]]; then
    parameter token "$token"
    parameter release "$going"
    perform "$admit_text" || give_up noted
  fi
}

# migrates: whether this host runs the migrations in this deployment.
migrates() {
  [[ -n $migrate_text && $why == deploy ]] || return 1
  case ${WARPBEAM_MIGRATE-} in
    true) return 0 ;;
    false) return 1 ;;
  esac
  # `main` has refused any other word.
  [[ -z $migrate_group || $exact_group == "$migrate_group" ]]
}

# switch_to RELEASE DIGEST SUCCESS WITHDRAW: activates the release; `known` are the fields of its history entry.
switch_to() {
  local text
  new_id
  job=${REPLY:0:16}
  write_deployment
  printf -v text 'release=%q\njob_id=%q\nwithdraw=%q\n%s' "$1" "$job" "$4" "$job_text"
  tenths
  parameter token "$token"
  parameter job_id "$job"
  parameter job_size "${#text}"
  parameter spent "$REPLY"
  parameter success "$3"
  parameter remember "$1${2:+ $2}"
  parameters_of entry "${known[@]}"
  perform "$activate_text" <(printf '%s' "$text")
}

# finish [ENTRY]: prunes, completes the history, gives the lock back. ENTRY: of an activation that never began.
finish() {
  stop_renewing
  parameter token "$token"
  parameter entry "${1-}"
  parameter job_id "${1:+$job}"
  perform "$finish_text"
}

# activate_release: migrates where this host does, and puts the release live.
activate_release() {
  local withdraw=false what
  if [[ $activate == false ]]; then return 0; fi
  if migrates; then
    parameter token "$token"
    parameter release "$going"
    perform "$migrate_text" || give_up noted
  fi
  known_fields "$going" "$before"
  known+=("${entry[@]}")
  if [[ $why == rollback ]]; then withdraw=true; fi
  if ! switch_to "$going" "$digest" 'done' "$withdraw"; then
    what=$message
    complain
    failure_entry failed "$what" "$job"
    # Nothing may follow the reason.
    finish "$REPLY" >/dev/null || unlock
    forget_deployment
    leave 1
  fi
  value_of "$said" seconds || true
  say "runs $going $label (was ${before:-nothing}), after $REPLY s"
}

# check_serving: true where the release that went live serves; asked three times, because it may be busy once.
check_serving() {
  local tries
  for tries in 1 2 3; do
    parameter release "$going"
    if perform "$serves_text"; then return 0; fi
    if [[ $interrupted == true ]]; then return 1; fi
    pause 1
  done
  return 1
}

# bring_back TEXT: notes why the release that went live is not kept, and puts the one before it live again.
bring_back() {
  failure_entry failed "$1"
  parameter token "$token"
  parameter entry "$REPLY"
  perform "$note_text" || true
  if [[ -z $before || $before == "$going" ]]; then
    say 'there is no earlier release to go back to'
    return 0
  fi
  known_fields "$before" "$going"
  known+=(version: "\"$before_version\"" commit: "\"$before_commit\"" dirty: "${before_dirty:-false}")
  if check_release "$before" && switch_to "$before" "$found" 'brought back' true; then
    say "runs $before again"
  else
    complain
  fi
}

# pause_unless_asked SECONDS: waits, or until this hook is asked to end.
pause_unless_asked() {
  local until
  uptime_seconds
  until=$((REPLY + ${1%.*}))
  while uptime_seconds && ((REPLY < until)) && [[ $interrupted == false ]]; do pause 1; done
}

# validate: checks that the release still serves, and ends the deployment; otherwise brings the host back.
validate() {
  local why_not shown
  if [[ $activate == true ]]; then pause_unless_asked "$pause_before"; fi
  if check_serving; then
    if ! finish; then
      complain
      unlock
    fi
    forget_deployment
    say "$going $label serves"
    return 0
  fi
  why_not=$message shown=$hint
  if [[ $activate == true ]]; then bring_back "$why_not"; fi
  finish || unlock
  forget_deployment
  message=$why_not hint=$shown texts=()
  complain
  leave 1
}

main() {
  # Without a reader of its output, a hook goes on.
  trap '' PIPE
  trap interrupt TERM INT HUP
  left=false
  trap at_exit EXIT
  if [[ ! -d $root/activation ]]; then
    say "error: $root is not set up for $(id -un): \`fab ENV setup\` first"
    leave 1
  fi
  name_deployment
  case ${WARPBEAM_MIGRATE-} in
    '' | true | false) ;;
    *)
      say "error: expected WARPBEAM_MIGRATE to be true or false, found ${WARPBEAM_MIGRATE@Q}"
      leave 1
      ;;
  esac
  case ${1-} in
    preflight) preflight ;;
    upload)
      resume
      upload_release
      ;;
    activate)
      resume
      activate_release
      ;;
    validate)
      resume
      validate
      leave 0
      ;;
    *) say "error: expected preflight, upload, activate or validate" && leave 2 ;;
  esac
  if ! keep_lock; then
    if [[ $1 == activate && $activate == true ]]; then
      message="$going is live, but the lock was lost: $message"
      hint='deploy the same revision again: what is live already is left as it is'
    fi
    give_up
  fi
  leave 0
}

main "$@"
