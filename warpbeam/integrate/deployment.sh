#!/bin/bash
# The values that the hooks of one deployment pass on to each other, in $root/activation/deployment: a name and a value
# a line.
#
# Parameters: root (the app's directory).
: "${root?}"

deployment_file=$root/activation/deployment
# The values: the deployment's id, the lock's token, the release that goes live, whether it has to be made and has to
# start, the word for the history, the time and the uptime at the beginning, what was live, and the activation's id.
DEPLOYMENT_KEYS=(deployment token going upload activate why at began before before_version before_commit before_dirty
  job)
deployment='' token='' going='' upload='' activate='' why='' at='' began=0 before='' before_version='' before_commit=''
before_dirty='' job=''

# write_deployment: keeps the variables of those names.
write_deployment() {
  local key
  # Made anew, never emptied: somebody may hold a descriptor of the old file.
  rm -f -- "$deployment_file.new"
  for key in "${DEPLOYMENT_KEYS[@]}"; do printf '%s %s\n' "$key" "${!key-}"; done >"$deployment_file.new"
  echo end >>"$deployment_file.new"
  mv -fT -- "$deployment_file.new" "$deployment_file"
}

# read_deployment: sets the variables that `write_deployment` has kept; false where a line is none of its lines.
read_deployment() {
  local line key
  text_of "$deployment_file" 65536 || return 1
  # A file that was cut, by a full disk, has no end.
  [[ $REPLY == *$'\nend\n' ]] || return 1
  REPLY=${REPLY%end$'\n'}
  while read -r key line; do
    [[ " ${DEPLOYMENT_KEYS[*]} " == *" $key "* && $line != *[!A-Za-z0-9.:+_~-]* ]] || return 1
    printf -v "$key" '%s' "$line"
  done <<<"${REPLY%$'\n'}"
}

forget_deployment() { rm -f -- "$deployment_file"; }
