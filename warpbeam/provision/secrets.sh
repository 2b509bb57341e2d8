#!/bin/bash
# Writes or reads the file with an app's secrets, as root. `push` replaces it by one rename. Both verbs answer its text
# afterwards, with a keyed digest in place of each value: the values stay on the host.
#
# Parameters: verb (push, list), file, ledger (the checksums of what setup last wrote), content (for push), key (random,
# for this one time), app, root, helper, environment (to which this host must belong, for push).
: "${verb?}" "${file?}" "${ledger?}" "${content?}" "${key?}" "${app?}" "${root?}" "${helper?}" "${environment?}"

((EUID == 0)) || refuse 'secrets are root'"'"'s to read here' 'give the admin sudo, or see users.admin in the inventory'
directory=${file%/*}
[[ -d $directory && ! -L $directory && $(stat -c %U:%a -- "$directory") == root:700 ]] ||
  refuse "$directory is not a directory of root's alone" '`fab ENV setup` first'

# put PATH < CONTENT: replace PATH by one rename; only root can read it.
put() {
  local new=$1.warpbeam-new
  rm -f -- "$new"
  (umask 077 && set -C && cat >"$new") || {
    rm -f -- "$new"
    return 1
  }
  sync -- "$new"
  mv -fT -- "$new" "$1"
}

changed=false before=null
if [[ $verb == push ]]; then
  belongs_here
  step secrets
  if ! printf '%s' "$content" | cmp --quiet -- - "$file" || [[ $(stat -c %U:%G:%a -- "$file") != root:root:600 ]]; then
    if [[ -f $file && ! -L $file ]]; then
      masked "$file" "$key"
      quoted "$REPLY"
      before=$REPLY
    fi
    # The content goes through pipes: bash would put a here-string that does not fit into one in a file.
    printf '%s' "$content" | put "$file" ||
      fail "$file could not be written; it is as it was" 'make room there, then run the same command again'
    # Record the new checksum, so that setup does not take the file for changed by hand.
    {
      if [[ -f $ledger ]]; then grep -v " $file\$" -- "$ledger" || true; fi
      sum=$(sha256sum -- "$file")
      printf '%s %s\n' "${sum%% *}" "$file"
    } | sort -k 2 | put "$ledger"
    sync -- "$directory"
    changed=true
  fi
fi

text=null stale=false
if [[ -f $file && ! -L $file ]]; then
  masked "$file" "$key"
  quoted "$REPLY"
  text=$REPLY
  read_links
  if [[ -n $live ]] && (($(systemctl show --property=MainPID --value -- "$app@$live.service") > 0)); then
    # systemd reads the file when it starts the instance.
    started=$(systemctl show --timestamp=us --property=ExecMainStartTimestamp --value -- "$app@$live.service")
    started=$(date --date="$started" +%s%N)
    written=$(date --reference="$file" +%s%N)
    ((started > written)) || stale=true
  fi
fi
answer changed: "$changed" before: "$before" text: "$text" stale: "$stale"
