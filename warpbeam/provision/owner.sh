#!/bin/bash
# Checks which environment the app on this host belongs to: setup writes its name beside the privileged helper.
#
# Parameters: app, helper, environment (the name of the environment that asks).
: "${app?}" "${helper?}" "${environment?}"

# owner: the environment that the app belongs to, in REPLY. A host without a recorded name, from an older setup, belongs
# to the one that asks.
owner() {
  REPLY=$environment
  if [[ -r ${helper%/*}/environment ]]; then read -r REPLY <"${helper%/*}/environment" || true; fi
}

# belongs_here: refuse if the app belongs to another environment.
belongs_here() {
  owner
  [[ $REPLY == "$environment" ]] || refuse \
    "$app on this host belongs to the environment '$REPLY', not to '$environment'" \
    "two environments need hosts, or an \`app\`, of their own; to take it over: \`fab $environment setup --take-over\`"
}
