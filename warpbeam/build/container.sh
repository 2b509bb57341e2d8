#!/bin/bash
# Runs the script on standard input in a container, with what follows it, and ends the container with this script.
#
# The container has the directory of its image's builds at the same path, and the person's own settings of git, ssh,
# Hex and npm, read only. Nothing of the script or of its input is in an argument list, in the container's variables or
# in a log of the engine.
#
# Parameters: root (the app's directory on this host), own (the directory of this image's builds), digest (the image),
# name (the container's), exclusive (true: it is a build, and no other may run), rootless (true: the engine runs
# without root), runtime (its OCI runtime, or empty), options (for the engine), reader (the command that reads the
# script), those of engine.sh.
: "${root?}" "${own?}" "${digest?}" "${name?}" "${exclusive?}" "${rootless?}" "${runtime?}" "${options[@]-}"
: "${reader?}"

# The programs that the scripts of a build need, beside bash, each with an option that only the one of GNU has.
# shellcheck disable=SC2016 # the image's shell
INSIDE='
  for program in bash cp find tar xargs sort grep sed awk gzip sha256sum stat diff; do
    command -v "$program" >/dev/null || { echo "$program" >"$HOME/MISSING"; exit 94; }
  done
  for program in cp find xargs sort; do
    "$program" --version >/dev/null 2>&1 || { echo "the $program of GNU" >"$HOME/MISSING"; exit 94; }
  done
  export WARPBEAM_IMAGE_PATH="$PATH"
  exec '

# make_directories: makes what the container mounts.
make_directories() {
  [[ -d $root/build && -w $root/build ]] ||
    refuse "$root/build is not there or not writable by $(id -un)" 'run setup: this host has the role build'
  mkdir -p -- "$own/build" "$own/home"
  touch -- "$own"
  # A question may run beside a build, in the same image.
  said=$own/engine.$name.log
}

# lock_builds: takes the lock of builds on this host, and removes what a build that was killed has left. Three images of
# earlier builds are kept.
lock_builds() {
  local -a left
  exec 8>"$root/build/lock"
  flock -n 8 || refuse 'another build is running on this host' 'wait for it, or end it there'
  mapfile -t left < <(exec "${call[@]}" ps --all --quiet --filter "label=warpbeam=$root" 2>/dev/null)
  if ((${#left[@]})); then "${call[@]}" rm --force -- "${left[@]}" >/dev/null 2>&1 || true; fi
  find "${own%/*}" -mindepth 1 -maxdepth 1 -printf '%T@ %p\0' | sort -z -r -n | tail -z -n +4 |
    cut -z -d ' ' -f 2- | forget_images
}

# forget_images: removes the directories of images on standard input, but those that somebody else may be copying a tree
# to, or an artifact from.
forget_images() {
  local image
  while IFS= read -r -d '' image; do
    if [[ -z $(exec find "$image/build" -mindepth 1 -maxdepth 1 \( -name 'carried.*' -o -name '*.tar.gz' \) \
      -mmin -1440 -print -quit 2>/dev/null) ]]; then
      rm -rf -- "$image" || true
    fi
  done
}

# has_init: whether the engine has the small program that becomes the first process of a container.
has_init() {
  case $engine in
    podman) [[ -x /usr/libexec/podman/catatonit ]] || type -P catatonit >/dev/null ;;
    docker) [[ -x /usr/libexec/docker/docker-init ]] || type -P docker-init >/dev/null ;;
  esac
}

# has_option NAME ...: whether the inventory gives one of these options.
has_option() {
  local wanted option
  for wanted; do
    for option in "${options[@]}"; do
      if [[ $option == "--$wanted="* ]]; then return 0; fi
    done
  done
  return 1
}

# choose_user: the container's files must belong to this host's user, who has the same number inside. With a docker
# that runs without root, that user is root inside. ssh needs a name for the user, and finds its files by the home
# directory in passwd.
choose_user() {
  local uid gid
  uid=$(id -u) gid=$(id -g)
  if [[ $engine == docker && $rootless == true ]]; then uid=0 gid=0; fi
  {
    ((uid == 0)) || printf 'root:x:0:0:root:/root:/bin/sh\n'
    printf '%s:x:%s:%s::%s:/bin/sh\n' "$(id -un)" "$uid" "$gid" "$own/home"
    printf 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n'
  } >"$own/passwd.$name"
  chmod 644 -- "$own/passwd.$name"
  # Another container may have mounted the file that is there.
  mv -fT -- "$own/passwd.$name" "$own/passwd"
  arguments+=("--user=$uid:$gid" "--volume=$own/passwd:/etc/passwd:ro")
  if [[ $engine == podman && $rootless == true ]]; then arguments+=(--userns=keep-id); fi
}

# mount_settings: the person's own settings of git, ssh, Hex and npm, and the socket of an agent. The engine would make
# a place that is missing, as root.
mount_settings() {
  local path
  for path in .netrc .npmrc .gitconfig .config/git .ssh .hex/hex.config; do
    [[ -e $HOME/$path ]] || continue
    if [[ -d $HOME/$path ]]; then
      mkdir -p -- "$own/home/$path"
    else
      mkdir -p -- "$(dirname -- "$own/home/$path")"
      [[ -e $own/home/$path ]] || : >"$own/home/$path"
    fi
    arguments+=("--volume=$HOME/$path:$own/home/$path:ro")
  done
  if [[ -S ${SSH_AUTH_SOCK-} ]]; then
    arguments+=("--volume=$SSH_AUTH_SOCK:$SSH_AUTH_SOCK" "--env=SSH_AUTH_SOCK=$SSH_AUTH_SOCK")
  fi
  # By name: an engine's arguments have no value of theirs.
  for path in http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY; do
    if [[ -n ${!path-} ]]; then arguments+=("--env=$path"); fi
  done
}

# choose_arguments: puts the arguments of the engine into `arguments`.
choose_arguments() {
  arguments=(run --rm --interactive "--name=$name" "--volume=$own:$own" "--workdir=$own" --log-driver=none)
  if [[ $exclusive == true ]]; then arguments+=("--label=warpbeam=$root"); fi
  if has_init; then arguments+=(--init); fi
  # SELinux would keep the container from the directory of the build, and a new label would keep others from it.
  has_option security-opt || arguments+=(--security-opt=label=disable)
  has_option net network || arguments+=(--network=host)
  # The container stays in the cgroup of this session, and has its limits.
  if [[ $runtime == crun ]] && ! has_option cgroups cgroup-parent memory memory-swap memory-reservation cpus \
    cpu-quota cpu-period cpu-shares cpuset-cpus pids-limit; then
    arguments+=(--cgroups=disabled)
  fi
  choose_user
  mount_settings
  arguments+=("${options[@]}" "--env=HOME=$own/home" --entrypoint=sh -- "$digest")
  arguments+=(-c "${INSIDE//MISSING/missing.$name}$reader")
}

# watch: removes the container when this script has ended without doing so, or the connection that it came over. It runs
# in a session of its own, so that no signal to the script's processes reaches it.
watch() {
  # shellcheck disable=SC2016 # another bash
  setsid bash -c '
    script=$1 parent=$2
    shift 2
    while read -r _ _ _ now _ 2>/dev/null <"/proc/$script/stat" && [[ $now == "$parent" ]]; do sleep 1; done
    exec "$@"' warpbeam-watch "$$" "$PPID" "${call[@]}" rm --force -- "$name" </dev/null >/dev/null 2>&1 &
  watcher=$!
}

# end_container: the container is gone afterwards, whatever it was doing.
end_container() {
  trap '' TERM HUP INT
  if [[ -n $running ]]; then "${call[@]}" rm --force -- "$name" >/dev/null 2>&1 || true; fi
  if [[ -n $watcher ]]; then kill -- "-$watcher" 2>/dev/null || true; fi
  rm -f -- "$said" "$own/home/missing.$name"
}

# explain STATUS: refuses where it was the engine or the image that failed, and not the script in the container.
explain() {
  local errors
  case $1 in
    94)
      refuse "the image $image has no $(<"$own/home/missing.$name"), which the scripts of a build need" \
        'a build needs bash and what GNU has: coreutils, findutils, tar, grep, sed, gawk, gzip, diffutils' ;;
  esac
  # A script in the container may end with the same statuses.
  errors=$(exec grep -E '^(Error: |docker: |ERROR [(]catatonit|[[]FATAL tini)' -- "$said") || errors=''
  case $1,$errors in
    *[eE]'xec format error'*) refuse_engine "$said" '' ;;
    *'executable file'*'not found'* | *'exec pid1: No such file'* | *'exec sh failed: No such file'*)
      refuse "the image $image has no sh" 'a build needs a whole system: Debian, Ubuntu or Fedora, for example' ;;
    12[567],?*) refuse_engine "$said" "$engine could not run the image $image" ;;
  esac
  cat -- "$said" >&2
}

main() {
  local said running='' watcher='' status=0
  local -a arguments
  find_engine
  make_directories
  if [[ $exclusive == true ]]; then lock_builds; fi
  choose_arguments
  trap end_container EXIT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap 'exit 130' INT
  watch
  # In the background: bash runs a trap only when a command in the foreground has ended.
  "${call[@]}" "${arguments[@]}" <&0 2>"$said" 8>&- &
  running=$!
  wait "$running" || status=$?
  # After a signal (141: nobody reads the output any more) the container may still be there.
  ((status > 128)) || running=''
  explain "$status"
  exit "$status"
}

main
