#!/bin/bash
# Calls a container engine of this host, podman or docker, and recognises why it fails.
#
# Parameters: engine (auto: podman where it is installed, else docker; podman; docker), image (for messages).
: "${engine?}" "${image?}"

# find_engine: puts the engine into `engine`, and the words that begin each of its commands into `call`.
find_engine() {
  local found hint
  hint="on Debian: sudo apt-get install podman crun uidmap slirp4netns catatonit; or build.install: true, and setup"
  case $engine in
    auto) found=podman; type -P podman >/dev/null || found=docker ;;
    *) found=$engine ;;
  esac
  if ! type -P "$found" >/dev/null; then
    case $engine in
      auto) refuse "there is neither podman nor docker here for the image $image" "$hint" ;;
      podman) refuse "there is no podman here for the image $image" "$hint" ;;
      docker) refuse "there is no docker here for the image $image" 'on Debian: sudo apt-get install docker.io' ;;
    esac
  fi
  engine=$found
  # Debian's podman-docker gives podman the name docker.
  if [[ $engine == docker && $(exec docker --version 2>/dev/null) == podman* ]]; then engine=podman; fi
  # A login over ssh has no systemd of the user's, which podman asks to make a cgroup, and complains about otherwise.
  call=("$found")
  if [[ $engine == podman ]]; then call=("$found" --cgroup-manager=cgroupfs); fi
}

# engine_lines FILE: puts the last lines of an engine's output into the array `lines`, without its warnings.
engine_lines() { mapfile -t lines < <(grep -v 'level=warning' -- "$1" | tail -n 10); }

# recognise_engine TEXT: puts what an engine's output means into `cause`, and what to do into REPLY; false where it is
# not known.
recognise_engine() {
  local registry=${image%%/*}
  [[ $registry != "$image" && ($registry == *[.:]* || $registry == localhost) ]] || registry=docker.io
  case $1 in
    *'no space left on device'* | *'No space left on device'* | *'disk quota exceeded'*)
      cause="there is no room on this host for the image $image"
      REPLY="make room where $engine keeps images: $engine system prune, $engine info" ;;
    *[eE]'xec format error'*)
      cause="the image $image is for another CPU than this host's ($(uname -m))"
      REPLY='name an image of several CPUs or of this one; or install qemu-user-static here to emulate the other' ;;
    *unauthorized* | *'authentication required'* | *'access to the resource is denied'* | *'access denied'* | \
      *'403 (Forbidden)'* | *'403 Forbidden'* | *'401 (Unauthorized)'* | *'401 Unauthorized'*)
      cause="the registry refuses the image $image to $(id -un)"
      REPLY="is the name right? If it is private: $engine login $registry, as $(id -un) on the build host" ;;
    *'no such host'* | *'dial tcp'* | *'connection refused'* | *'i/o timeout'* | *'network is unreachable'* | \
      *'TLS handshake timeout'* | *'Temporary failure in name resolution'* | *'deadline exceeded'* | \
      *'connection reset'*)
      cause="the registry of the image $image cannot be reached from this host"
      REPLY="can this host reach $registry? An image that is here already needs no registry: build.container.pull" ;;
    *'manifest unknown'* | *'name unknown'* | *'not found'* | *'does not exist'* | *'did not resolve to an alias'* | \
      *'repository name not known'* | *'no image found'* | *'404 (Not Found)'* | *'no such image'* | \
      *'image not known'* | *'No such image'*)
      cause="there is no image $image"
      REPLY="look at its name and tag; $engine needs the registry's name too, as in docker.io/library/elixir:1.17" ;;
    *'cannot find UID/GID for user'* | *'no subuid ranges'* | *'newuidmap'* | *'insufficient UIDs or GIDs'*)
      cause="$engine cannot run for $(id -un), who has no user numbers of its own for containers"
      REPLY="sudo apt-get install uidmap; sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 "
      REPLY+="$(id -un); $engine system migrate" ;;
    *'permission denied while trying to connect'* | *'dial unix'*'permission denied'*)
      cause="$(id -un) may not use docker on this host"
      REPLY="use podman, or a docker that runs without root: setup refuses a deploy user in the group docker, who is as"
      REPLY+=" mighty as root" ;;
    *'annot connect to the Docker daemon'* | *'Is the docker daemon running'*)
      cause='docker does not run on this host'
      REPLY='sudo systemctl start docker' ;;
    *) return 1 ;;
  esac
}

# refuse_engine FILE WHAT [shown]: refuses with what the output in FILE means, or else with WHAT, and shows its last
# lines, unless they were shown already.
refuse_engine() {
  local cause hint text lines
  text=$(tail -c 20000 -- "$1")
  engine_lines "$1"
  if ! recognise_engine "$text"; then
    cause=$2
    REPLY='the lines above are its own'
  fi
  hint=$REPLY
  if [[ -z ${3-} ]]; then
    for text in "${lines[@]}"; do line "$text"; done
  fi
  refuse "$cause" "$hint"
}
