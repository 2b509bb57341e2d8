#!/bin/bash
# Runs programs of a build with secrets in their environment alone, and masks the values in what they print.
#
# This script's own environment has no secret, nor has its standard input once they are read. So a program that is not
# run by attempt_with_secrets sees none.
#
# Parameters: secret_names (the values come on standard input, in this order, each ended by a NUL; the source follows).
: "${secret_names[@]-}"

declare -A secret_values=()
# The texts that are masked, the longest first: a value may contain another one.
masks=()
# The texts that no release may hold.
forbidden=()

# read_secrets: reads the values from standard input. bash reads them byte by byte and takes nothing of the source.
read_secrets() {
  local name value text
  local -a by_length=()
  for name in "${secret_names[@]}"; do
    IFS= read -r -d '' value || fail 'the secrets of the build did not arrive whole' 'run the same command again'
    secret_values[$name]=$value
    forbid "$value"
    # Output comes line by line, so each line of a value is masked. Lines of three characters, as `}`, tell nothing.
    while IFS= read -r text; do
      text=${text%$'\r'}
      if [[ -n $text && ($value != *$'\n'* || ${#text} -gt 3) ]]; then by_length[${#text}]+=$text$'\n'; fi
    done < <(printf '%s\n' "$value")
  done
  for text in "${by_length[@]}"; do
    while IFS= read -r value; do masks=("$value" "${masks[@]}"); done < <(printf '%s' "$text")
  done
}

# mask_secrets: copies standard input, with *** for each secret.
mask_secrets() {
  local text secret
  while IFS= read -r text || [[ -n $text ]]; do
    for secret in "${masks[@]}"; do text=${text//"$secret"/***}; done
    printf '%s\n' "$text"
  done
}

# with_secrets NAMES COMMAND ...: runs COMMAND as the build's programs run, with the secrets of these NAMES (words) in
# its environment. `export` assigns in bash itself: arguments of a program such as env(1) would be in the process list.
with_secrets() (
  local names=$1 wanted
  local -a pairs=()
  shift
  for wanted in $names; do pairs+=("$wanted=${secret_values[$wanted]}"); done
  if ((${#pairs[@]})); then export -- "${pairs[@]}"; fi
  exec env LC_ALL="$locale" "$@" </dev/null 8>&-
)

# masked COMMAND ...: runs COMMAND and masks what it prints; returns its exit status.
masked() {
  if ((${#masks[@]} == 0)); then "$@"; return; fi
  "$@" 2>&1 | mask_secrets
  return "${PIPESTATUS[0]}"
}

# attempt_with_secrets NAMES COMMAND ...: as attempt of program.sh, with the secrets of these NAMES (words).
attempt_with_secrets() { shown "$build/log" masked with_secrets "$@"; }

# forbid VALUE: notes the texts of a secret that no release may hold. A text of less than eight characters may stand
# anywhere by chance; so may the first line of a certificate, or a line of a JSON file.
forbid() {
  local text least=8
  if [[ $1 == *$'\n'* ]]; then least=40; fi
  while IFS= read -r text; do
    text=${text%$'\r'}
    if ((${#text} >= least)) && [[ $text != -----* ]]; then forbidden+=("$text"); fi
  done < <(printf '%s\n' "$1")
}

# check_secrets: fails where a file of the release holds a secret, which a program of the build has put there.
check_secrets() {
  local path
  local -a found=()
  ((${#forbidden[@]})) || return 0
  while IFS= read -r -d '' path; do
    path=${path#"$out/"}
    found+=("${path@Q} holds a value of build.secrets")
  done < <(grep -rlZaF -f <(printf '%s\n' "${forbidden[@]}") -- "$out" || true)
  if ((${#found[@]})); then
    fail 'the release holds a secret of the build' \
      'the lines above name the files: use the value only while they are made; a public one belongs in build.env' \
      "${found[@]:0:20}"
  fi
}
