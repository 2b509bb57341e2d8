#!/bin/bash
# The result of an activation, $root/activation/result, which stays until the next activation begins. It has five lines:
# the job's id, the outcome and the problem (a JSON string) for the history, then the kind of its ending (`answer` or
# `failed`) and that ending (JSON).
#
# Parameters: root (the app's directory).
: "${root?}"

# write_result FILE JOB OUTCOME PROBLEM KIND ENDING: writes a result to FILE, on the disk.
write_result() { printf '%s\n' "${@:2}" >"$1" && sync -- "$1"; }

# result_of JOB: the result that the activation JOB left, in result_outcome, result_problem, result_kind and
# result_ending; false where it left none.
result_of() {
  local file=$root/activation/result result_job=''
  # Read it whole first, which bounds it.
  text_of "$file" 8388608 && {
    IFS= read -r result_job && IFS= read -r result_outcome && IFS= read -r result_problem &&
      IFS= read -r result_kind && IFS= read -r result_ending
  } <"$file" && [[ $result_job == "$1" && $result_kind == @(answer|failed) ]]
}

# record_result: emits the ending of the result that `result_of` read.
record_result() {
  object "$result_kind:" "$result_ending"
  record "$REPLY"
}
