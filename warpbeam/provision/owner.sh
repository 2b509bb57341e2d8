#!/bin/bash
# Checks which environment the app on this host belongs to: setup writes its name beside the privileged helper.
#
# Parameters: app, helper, environment (the name of the environment that asks).
: "${app?}" "${helper?}" "${environment?}"

# belongs_here: refuse if the app belongs to another environment. A host without a recorded name, from an older setup,
# belongs to all.
belongs_here() {
  local other=$environment
  if [[ -r ${helper%/*}/environment ]]; then read -r other <"${helper%/*}/environment" || true; fi
  [[ $other == "$environment" ]] || refuse \
    "$app on this host belongs to the environment '$other', not to '$environment'" \
    "two environments need hosts, or an \`app\`, of their own; to take it over: \`fab $environment setup --take-over\`"
}
