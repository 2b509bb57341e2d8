#!/bin/bash
# Compares releases with what was deployed: each file by its sha256, each link by its target; nothing else may be there.
# Changes nothing.
#
# Parameters: root (the app's directory), app (its name), record (the privileged helper's file of what was put live:
# lines `RELEASE SHA256`), chosen (releases; none: all).
: "${root?}" "${app?}" "${record?}" "${chosen[@]-}"

# Differences of one release that are reported; the others are counted.
told_at_most=20

# differs TEXT: notes one more difference of the release from what was deployed.
differs() {
  count=$((count + 1))
  if ((count <= told_at_most)); then odd+=("$1"); fi
}

# compare_kind PATH KIND MODE UID TARGET: compares something in the release that is not a directory.
compare_kind() {
  local path=$1 kind=$2 mode=$((8#$3)) want=${wanted[./$1]-} aim=${leads[./$1]-} runs
  if [[ -z $want && -z $aim ]]; then
    if [[ $kind == l && $has_links == false ]]; then
      # Deployed by a version of Warpbeam that kept no list of links: check only that the link stays in the release.
      aim=$(realpath -m -- "$home/$path")
      [[ $5 != /* && $aim/ == "$home"/* ]] || differs "link: ${path@Q} leads to ${5@Q}, which is outside of the release"
      return 0
    fi
    differs "added: ${path@Q}"
    return 0
  fi
  # Mark it as seen. (Not by `unset`, which takes some names for more than one.)
  wanted[./$path]='' leads[./$path]=''
  if [[ -n $aim ]]; then
    if [[ $kind != l ]]; then differs "changed: ${path@Q} was a link to ${aim@Q}"
    elif [[ $5 != "$aim" ]]; then differs "link: ${path@Q} leads to ${5@Q}; expected ${aim@Q}"; fi
    return 0
  fi
  if [[ $kind != f ]]; then
    differs "changed: ${path@Q} is no plain file any more"
    return 0
  fi
  runs=$((8#${want%% *} & 8#100))
  if [[ $4 != "$EUID" ]] || (((mode & 8#7022) != 0 || (mode & 8#100) != runs)); then
    differs "mode: ${path@Q} is $3, of uid $4; it was deployed as ${want%% *}"
  fi
  sums+="${want#* } *./$path"$'\n'
  paths+=("./$path")
}

# compare RELEASE: sets `odd` (the first differences from what was deployed), `count` (the number of all differences)
# and `digest` (of the manifest, the list of links and the kind, which it compares with).
compare() {
  local home=$releases/$1 ours=$releases/$1/.warpbeam line mode sum path entry target kind uid rest sums='' \
    paths=() lines=() has_links=true
  local -A wanted=() leads=()
  odd=() count=0 digest=''
  if [[ -L $home || ! -d $home || -L $ours ]] || ! plain "$ours/manifest"; then
    differs 'gone: its manifest'
    return 0
  fi
  # Somebody may have made these files endless.
  if [[ -n $(exec find "$ours" -mindepth 1 -maxdepth 1 \( -name manifest -o -name links -o -name runtime \) \
    -size +65536k -print -quit) ]]; then
    differs 'changed: its manifest has more than 64 MB'
    return 0
  fi
  lines=("$ours/manifest")
  if plain "$ours/links"; then lines+=("$ours/links"); else has_links=false; fi
  if plain "$ours/runtime"; then
    digest_of "$ours"
    digest=$REPLY
    if [[ $has_links == false ]]; then differs 'gone: its list of links'; fi
  else
    # An earlier Warpbeam kept no kind.
    if [[ -e $ours/runtime || -L $ours/runtime ]]; then differs 'changed: the word about its kind is no plain file'; fi
    digest=$(cat -- "${lines[@]}" | sha256sum)
  fi
  digest=${digest%% *}
  while IFS= read -r line; do
    mode=${line%% *} rest=${line#* }
    sum=${rest%% *}
    # Check before arithmetic: bash evaluates a text that is no number.
    if [[ $mode != [0-7][0-7][0-7] || $sum == *[!0-9a-f]* ]]; then
      differs "changed: its manifest has a line that no manifest has"
      continue
    fi
    wanted[./${rest#*  }]="$mode $sum"
  done < <(exec cat -- "$ours/manifest")
  if [[ $has_links == true ]]; then
    while IFS= read -r path; do
      target=''
      IFS= read -r target || differs 'changed: its list of links has a line too many'
      leads[./$path]=$target
    done < <(exec cat -- "$ours/links")
  fi
  while IFS= read -r -d '' entry && IFS= read -r -d '' target; do
    IFS=/ read -r -d '' kind mode uid path <<<"$entry" || true
    path=${path%$'\n'}
    if [[ $kind == d ]]; then
      differs "mode: the directory ${path@Q} is $mode, of uid $uid"
    else
      compare_kind "$path" "$kind" "$mode" "$uid" "$target"
    fi
  done < <(exec find "$home" -mindepth 1 -path "$ours" -prune -o \
    \( ! -type d -o -perm /022 -o ! -uid "$EUID" \) -printf '%y/%m/%U/%P\0%l\0')
  for path in "${!wanted[@]}" "${!leads[@]}"; do
    if [[ -n ${wanted[$path]-}${leads[$path]-} ]]; then rest=${path#./}; differs "gone: ${rest@Q}"; fi
  done
  if ((${#paths[@]} == 0)); then return 0; fi
  # Like upload.sh: openssl is five times as fast, and sha256sum names the files that differ.
  cd -- "$home"
  if ! command -v openssl >/dev/null ||
    ! cmp -s -- <(printf '%s' "$sums") \
      <(printf '%s\0' "${paths[@]}" | xargs -0 openssl dgst -sha256 -r 2>/dev/null); then
    while IFS= read -r line; do
      path=${line#./}
      path=${path%: *}
      differs "changed: ${path@Q}"
    done < <(printf '%s' "$sums" | sha256sum --check --quiet --strict 2>/dev/null)
  fi
  cd -- "$root"
}

step verify
cd -- "$root"
declare -A recorded=()
if [[ -r $record ]]; then
  # The first line about a release counts (the privileged helper writes no second one). `forgotten NAME`: the helper has
  # left out lines of releases up to NAME.
  while read -r name sum; do recorded[${name:-none}]=${recorded[${name:-none}]-$sum}; done <"$record"
fi
if ((${#chosen[@]} == 0)); then
  find_releases
  chosen=("${complete[@]}")
fi
all=''
for name in "${chosen[@]}"; do
  is_release "$name" || refuse 'expected a release such as 20261123T120000Z' 'nothing was done'
  compare "$name"
  [[ -n ${recorded[$name]-} || $name > ${recorded[forgotten]-} ]] ||
    differs 'changed: root does not keep any more with which content it was put live'
  array "${odd[@]}"; listed=$REPLY
  object name "$name" digest "$digest" recorded "${recorded[$name]-}" differs: "$listed" count: "$count"
  all+="${all:+,}$REPLY"
done
answer releases: "[$all]"
