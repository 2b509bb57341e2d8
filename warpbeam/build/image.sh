#!/bin/bash
# Answers with the engine of this host and the image that a build runs in; pulls the image where it must.
#
# Parameters: pull (missing, always or never), those of engine.sh.
: "${pull?}"

# look: puts the image's digest into `digest`; false where the image is not here.
look() {
  digest=$(exec "${call[@]}" image inspect --format '{{.Id}}' -- "$image" 2>"$said") || return 1
  digest=${digest##*:}
}

# examine_engine: puts into `rootless` whether the engine runs without root, and its OCI runtime into `runtime`.
examine_engine() {
  local found form='{{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}}'
  if [[ $engine == docker ]]; then form='{{range .SecurityOptions}}{{.}} {{end}}'; fi
  found=$(exec "${call[@]}" info --format "$form" 2>"$said") || found=''
  if [[ -z $found ]]; then
    # Without its server, docker only says that the form does not fit.
    [[ $engine == podman ]] || docker version >"$said" 2>&1 || true
    refuse_engine "$said" "$engine cannot run on this host"
  fi
  rootless=false runtime=''
  case $engine,$found in
    docker,*name=rootless*) rootless=true ;;
    docker,*) ;;
    *)
      rootless=${found%% *}
      runtime=${found#* }
      ;;
  esac
}

pull_image() {
  step "pull $image"
  # Docker's progress is for terminals; podman's says what it copies.
  shown "$said" "${call[@]}" pull -- "$image" </dev/null ||
    refuse_engine "$said" "$engine could not pull the image $image" shown
  look || refuse_engine "$said" "there is no image $image after it was pulled"
}

main() {
  local digest said rootless runtime version
  find_engine
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  said=$work/said
  examine_engine
  if [[ $pull == always ]]; then
    pull_image
  elif ! look; then
    case $pull,$(<"$said") in
      never,*)
        refuse "the image $image is not on this host" \
          "build.container.pull is never: $engine pull $image, or $engine load, as $(id -un) there" ;;
      *,*'no such image'* | *,*'No such image'* | *,*'image not known'* | *,*'no such object'* | *,*'No such object'*)
        pull_image ;;
      *) refuse_engine "$said" "$engine cannot run on this host" ;;
    esac
  fi
  version=$(exec "${call[@]}" --version)
  version=${version##*version }
  answer engine "$engine" version "${version%%[, ]*}" digest "$digest" rootless: "$rootless" runtime "$runtime"
}

main
