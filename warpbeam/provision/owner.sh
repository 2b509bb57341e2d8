#!/bin/bash
# Which environment the app on this host belongs to: setup writes its name beside the privileged helper.
: "${app?}" "${helper?}" "${environment?}"

# belongs_here: refuses where that is another one. A host that was set up before it was written down is anybody's.
belongs_here() {
  local other=$environment
  if [[ -r ${helper%/*}/environment ]]; then read -r other <"${helper%/*}/environment" || true; fi
  [[ $other == "$environment" ]] || refuse "$app on this host belongs to the environment '$other', not to '$environment'" \
    "two environments need hosts, or an \`app\`, of their own; to take it over: \`fab $environment setup --take-over\`"
}
