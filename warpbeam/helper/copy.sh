#!/bin/bash
# Copies a release into root's tree. What the deploy user reads for root is hostile: files may change meanwhile, and the
# stream may hold anything. So it can write nowhere but in $ADMITTED/.new, and the copy is compared with the signed
# manifest when no process of the deploy user's has any part in it.

# The most files of a release, its most links, and its most bytes (warpbeam/build/content.py).
readonly MOST_FILES=200000 MOST_LINKS=10000 MOST_BYTES=17179869184
# Bytes that stay free on the disk.
readonly SPARE_BYTES=67108864
# The seconds that the deploy user's tar may take.
COPY_SECONDS=300

# receive RELEASE: copies the signed files and the signature into $lists, read as the deploy user.
receive() {
  local name most ended
  for name in manifest links runtime signature; do
    most=67108864
    case $name in runtime) most=256 ;; signature) most=$MOST_SIGNATURE ;; esac
    # `nonblock`: a pipe in the place of a file must not block. A file that is too long ends one byte beyond the bound.
    ended=(0 0)
    as_deploy dd "if=$releases/$1/.warpbeam/$name" iflag=nonblock,nofollow bs=64k status=none 2>/dev/null |
      head -c "$((most + 1))" >"$lists/$name" || ended=("${PIPESTATUS[@]}")
    # A file that is not there, or too long, is found below.
    ((ended[0] != 137)) || cannot "$1 could not be read as $DEPLOY_USER: run the same command again"
    ((ended[1] == 0)) || cannot "$ADMITTED is on a full disk: make room there"
    (($(stat --format=%s -- "$lists/$name") <= most)) || cannot "$1: .warpbeam/$name has more than $most bytes"
    # ssh-keygen reads the signature as nobody.
    chmod 644 -- "$lists/$name"
  done
  [[ -s $lists/runtime && -s $lists/manifest ]] ||
    cannot "$1 is not whole, or was deployed by an earlier Warpbeam: \`fab $ENVIRONMENT deploy --force\` sends it anew"
}

# read_manifest: refuses a manifest that leads out of a release, and writes what it wants into $lists: `files`, `sums`
# (as openssl prints them), `runnable`, `entries` (files and links) and `parents` (directories).
read_manifest() {
  local odd
  : >"$lists/files" && : >"$lists/sums" && : >"$lists/runnable" && : >"$lists/entries" && : >"$lists/parents"
  odd=$(ulimit -v 4000000 -t 60; exec awk -v to="$lists/" -v most_files="$MOST_FILES" -v most_links="$MOST_LINKS" '
    function refuse(what) { if (odd == "") odd = what; exit }
    function check(path) {
      if (path ~ /(^|\/)\.?\.?(\/|$)/ || path ~ /[[:cntrl:]]/ || tolower(path) ~ /^\.warpbeam(\/|$)/ ||
        length(path) > 4095) refuse("the path " path)
      if (path in seen) refuse("twice the path " path)
      seen[path]
    }
    function parents(path) {
      while (sub(/\/[^\/]*$/, "", path) && !(path in made)) { made[path]; print path >(to "parents") }
    }
    function check_target(path, target,   names, name, depth, i) {
      depth = split(path, names, "/") - 1
      if (target == "" || target ~ /^\// || target ~ /[[:cntrl:]]/ || length(target) > 4095)
        refuse("the link " path " to " target)
      names[0] = split(target, name, "/")
      for (i = 1; i <= names[0]; i++) {
        if (name[i] == "..") depth--
        else if (name[i] != "" && name[i] != ".") depth++
        if (depth < 0) refuse("the link " path " to " target)
      }
    }
    FNR == 1 { file++ }
    file == 1 {
      if ($0 !~ /^[0-7][0-7][0-7] [0-9a-f]+  ./ || length($2) != 64) refuse("the line " FNR)
      if (FNR > most_files) refuse("more than " most_files " files")
      path = substr($0, 71)
      check(path)
      print "./" path >(to "files")
      print $2 " *./" path >(to "sums")
      if (substr($1, 1, 1) % 2) print "./" path >(to "runnable")
      print "f " path >(to "entries")
      parents(path)
      next
    }
    FNR % 2 { link = $0; check(link); links++; if (links > most_links) refuse("more than " most_links " links") }
    FNR % 2 == 0 {
      check_target(link, $0)
      printf "l %s\001%s\n", link, $0 >(to "entries")
      print "./" link >(to "files")
      parents(link)
      link = ""
    }
    END {
      if (odd == "" && link != "") odd = "a link without a target"
      if (odd != "") print odd
    }' "$lists/manifest" "$lists/links") || cannot 'the manifest could not be read: is the disk full?'
  odd=${odd//[^[:print:]]/?}
  [[ -z $odd ]] || cannot "the signed manifest has ${odd:0:200}, which no release may have: build it again"
}

# copy_files RELEASE: copies the files and links into $new, and no empty directories: nobody has signed those, and their
# names alone may decide what runs (a migration, a version in lib/). The deploy user reads, and a process that can write
# nowhere else and has none of root's powers unpacks.
copy_files() {
  local patience=$COPY_SECONDS free most said=''
  { read -r _; read -r free; } < <(exec df --output=avail -B1 -- "$ADMITTED")
  most=$((free - SPARE_BYTES))
  ((most > 0)) || cannot "$ADMITTED is on a full disk: $((free / 1048576)) MB are free: make room there"
  ((most < MOST_BYTES)) || most=$MOST_BYTES
  tr '\n' '\0' <"$lists/files" |
    as_deploy tar --create --file=- --format=gnu --no-recursion "--directory=$releases/$1" --null --files-from=- \
      2>/dev/null |
    head -c "$most" |
    systemd-run --quiet --collect --wait --pipe --unit="$app-admit.service" --working-directory="$new" \
      "${UNPACKING[@]}" "--property=ReadWritePaths=$new" \
      -- tar --extract --file=- --no-same-owner --no-same-permissions >/dev/null 2>"$lists/said" || {
    { read -r _; read -r free; } < <(exec df --output=avail -B1 -- "$ADMITTED")
    if ((free <= SPARE_BYTES)); then cannot "$ADMITTED is on a full disk: make room there"; fi
    IFS= read -r -d '' -n 200 said <"$lists/said" || true
    said=${said//[^[:print:]]/ }
    cannot "the files of $1 could not be copied: some are missing, cannot be read, or are more than $most bytes $said"
  }
}

# compare_copy RELEASE: checks that the copy is the signed manifest's: the same files and links, by names, kinds and
# content, and nothing else but the directories for them. Gives all of it to root.
compare_copy() {
  local odd
  cd -- "$new"
  odd=$(exec find . -mindepth 1 \( -name '*[[:cntrl:]]*' -o ! -type f ! -type d ! -type l -o -type f -links +1 \
    -o ! -uid 0 -o ! -type l -perm /7000 \) -printf '%P' -quit)
  [[ -z $odd ]] || differs "holds ${odd@Q}, which is no plain file, directory or link" "$1"
  find . -mindepth 1 \( -type f -printf 'f %P\n' -o -type l -printf 'l %P\001%l\n' \) >"$lists/found"
  compare_lists entries found
  [[ -z $REPLY ]] || differs "differs in ${REPLY@Q}" "$1"
  find . -mindepth 1 -type d -printf '%P\n' >"$lists/found"
  compare_lists parents found
  [[ -z $REPLY ]] || differs "differs in the directory ${REPLY@Q}" "$1"
  chown -R -h -- "root:$APP_USER" .
  find . \( -type d -exec chmod 750 {} + \) -o \( -type f -exec chmod 640 {} + \)
  xargs -r -d '\n' -a "$lists/runnable" chmod 750 --
  # Like verify.sh: openssl is five times as fast, and sha256sum names the files that differ.
  if ! command -v openssl >/dev/null ||
    ! cmp -s -- "$lists/sums" <(cut -c 67- -- "$lists/sums" | xargs -r -d '\n' openssl dgst -sha256 -r 2>/dev/null)
  then
    odd=$(sha256sum --check --quiet --strict -- "$lists/sums" 2>/dev/null | head -n 1) || true
    if ! sha256sum --check --status --strict -- "$lists/sums" 2>/dev/null; then
      odd=${odd%: *}
      differs "was changed: ${odd@Q}" "$1"
    fi
  fi
  cd /
}

# compare_lists WANTED FOUND: puts the first line that only one of the two files in $lists has in REPLY.
compare_lists() {
  sort -u -o "$lists/$1" -- "$lists/$1"
  sort -u -o "$lists/$2" -- "$lists/$2"
  comm -3 -- "$lists/$1" "$lists/$2" >"$lists/odd"
  REPLY=$(sed -n 1p -- "$lists/odd")
}

# differs WHAT RELEASE: refuses a copy.
differs() {
  local what=${1//[^[:print:]]/?}
  logger -p auth.warning -t "warpbeam-$app" -- "the release $2 is not what was signed" || true
  cannot "the release $2 is not what was signed: it ${what:0:300}: \`fab $ENVIRONMENT deploy --force\` sends it anew"
}
