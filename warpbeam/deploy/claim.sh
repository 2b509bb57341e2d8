#!/bin/bash
# Takes the deploy lock, and gathers under it the facts that a plan is made from. Standard input: the manifest of the
# artifact that may go out (lines `MODE SHA256  PATH`), or nothing.
#
# Parameters: root (the app's directory), app (its name), helper (path of the privileged helper), token (of this
# command), lease (seconds), text (JSON: who, why, since, version), words (the same for people), take (false: only
# look), weigh (true: report the memory of the live instance), environment (that this host must belong to), that of
# suspect.sh.
: "${root?}" "${app?}" "${helper?}" "${token?}" "${lease?}" "${text?}" "${words?}" "${take?}" "${weigh?}"
: "${environment?}"

# room: the bytes and inodes that are free for releases, in `free` and `inodes`; -1 inodes where the file system counts
# none.
room() {
  local total
  { read -r _; read -r free inodes total; } < <(exec df --output=avail,iavail,itotal -B1 -- "$releases")
  [[ $total =~ ^[1-9] ]] || inodes=-1
}

# ask_helper: the helper's answer about this host, as JSON, in helper_says (without a version where it does not answer),
# and whether an activation runs, in `active`.
ask_helper() {
  local version
  active=false live=''
  if [[ $weigh == true ]]; then read_links; fi
  helper_says=$(exec sudo -n -- "$helper" ready <<<"$live" 2>/dev/null) || helper_says=''
  # The values in it are the helper's own numbers and words, so that a comparison of texts is exact.
  if [[ $helper_says == '{'*'"activating":true'*'}' ]]; then active=true; fi
  if [[ $helper_says == '{'*'}' ]]; then return 0; fi
  # A helper of another version of Warpbeam may not know `ready`, or answer in words, but each knows `version`.
  version=$(exec sudo -n -- "$helper" version </dev/null 2>/dev/null) || version=''
  if activating; then active=true; fi
  object version "$version" activating: "$active" maintenance: false
  helper_says=$REPLY
}

step claim
[[ -d $root/releases ]] || refuse "$root is not set up for $(id -un)" '`fab ENV setup` first' unready
[[ -w $root/releases ]] || refuse "$root/releases is not writable by $(id -un)" 'is users.deploy right? run setup again'
belongs_here
# Before the lock: an activation that begins after this needs the lock, which then is not free.
ask_helper
if [[ $take == true ]]; then
  guard
  if held && [[ $held_token != "$token" ]]; then
    # A lease ends by itself; a freeze does not, so that waiting for its end would be in vain.
    if [[ $held_boot == "$FROZEN" ]]; then
      hint='it is a freeze: `fab ENV lock.release` ends it once its reason is gone; `fab ENV lock.status` shows it'
    else
      uptime_seconds
      hint='--wait SECONDS waits for it; `fab ENV lock.status` shows it; were its command killed, it would end in'
      hint+=" $((held_ends - REPLY)) s"
    fi
    refuse "the deploy lock is held by $held_words" "$hint" held
  fi
  if [[ $active == true ]]; then
    refuse 'an activation is running on this host; it outlives the connection that began it' \
      'wait for it; `fab ENV status` shows how it ends'
  fi
  # Remove half-made releases, which belong to no command now that the lock is ours; and a lock needs room too.
  litter=("$releases"/*.partial)
  # Remove what a command was about to rename when the host went down.
  litter+=("$lock".[0-9a-f]* "$root/current.new" "$root"/slots/*.new)
  # Remove what setup has replaced, and the guard of earlier versions, which the app could lock.
  litter+=("$root"/activation.[no]* "$lock.guard")
  # Remove what is no plain file where scripts write: opening a pipe would wait for ever, and a link leads anywhere.
  for file in "$root"/activation/* "$root"/activation/lists/*; do
    case ${file##*/} in lists | spare) [[ ! -d $file || -L $file ]] ;; *) ! plain "$file" ;; esac && litter+=("$file")
  done
  for file in "${litter[@]}"; do
    if [[ -e $file || -L $file ]]; then remove "$file"; fi
  done
  room
  ((free >= 1024 * 1024)) || refuse "$root is on a full disk: $((free / 1024)) kB are free" 'make room there'
  # One activation takes some twenty inodes.
  ((inodes < 0 || inodes >= 64)) ||
    refuse "$root is on a disk without a free inode to spare ($inodes are left)" 'remove files there'
  write_lease "$lease" "$text" "$words"
  unguard
fi

# Mend a `current` that leads nowhere (removed by hand, say): otherwise the plan would be for a host where nothing is
# live.
find_releases
if [[ $take == true && ! -d $root/current/.warpbeam ]] && ((${#complete[@]})); then
  sudo -n -- "$helper" reconcile </dev/null || true
  ask_helper
  read_links
  if [[ -d $root/current/.warpbeam ]]; then warn "\`current\` led nowhere; it leads to $live_release again"; fi
fi
if [[ $take == true ]]; then settle || true; fi

# Files that `base` (the live release, else the newest complete one) shares with the new release need not be sent.
read_links
base=$live_release
if ! plain "$releases/$base/.warpbeam/manifest" && ((${#complete[@]})); then base=${complete[-1]}; fi
if is_suspect "$base"; then base=''; fi
lacks=''
if [[ $take == true ]]; then
  have=/dev/null
  rm -f -- "$root/activation/manifest"
  if plain "$releases/$base/.warpbeam/manifest"; then have=$releases/$base/.warpbeam/manifest; fi
  # Bound memory and time: awk reads a manifest without a line end as one line.
  lacks=$(ulimit -v 2000000 -t 20; exec awk -v have="$have" -v kept="$root/activation/manifest" '
    BEGIN { printf "" >kept }
    NR == 1 { while ((getline line < have) > 0) there[line] = 1 }
    { print >kept }
    $3 ~ /^erts-/ { erts = 1 }
    !($0 in there) { printf "%s%d", sep, NR - 1; sep = "," }
    END { if (NR && !erts) print "\nno erts"; exit close(kept) != 0 }') ||
    refuse "$root is on a disk that is full by now, or $have is no manifest" 'make room there, or remove that file'
fi

# A release without a VM of its own runs on the host's. Only starting that VM shows its version, so do it only then.
erts=''
if [[ $lacks == *'no erts' ]]; then
  lacks=${lacks%%$'\n'*}
  erts=$(timeout 20 erl -noinput -boot start_clean \
    -eval 'io:put_chars(erlang:system_info(version)), halt().' 2>/dev/null) || erts=none
fi

{ read -r libc && read -r cpu; } < <(
  getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1 || true
  exec uname -m
)
. /etc/os-release
# Not read line by line: bash reads from a pipe a byte at a time, and this is 10 kB.
libraries=$(exec ldconfig -p 2>/dev/null) || true
cryptos=()
for name in $libraries; do
  if [[ $name == libcrypto* ]]; then cryptos+=("$name"); fi
done
[[ $take == true ]] || room
memory=0
while read -r name kilobytes _; do
  if [[ $name == MemAvailable: ]]; then memory=$((kilobytes * 1024)); fi
done </proc/meminfo
described; listed=$REPLY
array "${cryptos[@]}"; libcrypto=$REPLY
object a "$release_a" b "$release_b"; slots=$REPLY
# systemd keeps this directory as long as the instance is there (RuntimeDirectory=, systemd.exec(5)).
serving=false
if [[ -n $live && -e /run/$app-$live ]]; then serving=true; fi
previous_of "${live_release:-$release_a}"; previous=$REPLY
held || held_text=''
answer cpu "$cpu" libc "$libc" os "${PRETTY_NAME:-$ID}" libcrypto: "$libcrypto" free: "$free" inodes: "$inodes" \
  memory: "$memory" live "$live" slots: "$slots" releases: "$listed" base "$base" lacks: "[$lacks]" \
  helper: "$helper_says" previous "$previous" lock "$held_text" activating: "$active" serving: "$serving" \
  erts "$erts"
