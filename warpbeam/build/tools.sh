#!/bin/bash
# Chooses the Elixir and Erlang of a build: those of asdf, mise or the system, in the versions that the source asks for.
#
# asdf (the shell versions up to 0.15 and the Go program since 0.16) and mise put a version into
# DATA/installs/TOOL/VERSION. A build uses these directories themselves: no shim decides otherwise by a file of the
# working directory, and no other program starts before each command.
#
# Parameters: tools (auto, asdf, mise or system), want_elixir, want_erlang, want_nodejs (versions, any of which will do;
# empty: any version).
: "${tools?}" "${want_elixir?}" "${want_erlang?}" "${want_nodejs?}"

missing=() nodejs=''

# forget_login: unsets the variables of the login's profile that would change what is built without the person who
# deploys knowing. Variables for reaching the network and for Mix's directories stay: see the table in
# docs/architecture.md.
forget_login() {
  local name
  for name in "${!MIX_@}" "${!ELIXIR_@}" "${!ERL_@}" "${!RELEASE_@}" "${!REBAR_@}" "${!GIT_@}" "${!LC_@}" \
    NODE_ENV LANG LANGUAGE; do
    case $name in
      MIX_HOME | MIX_ARCHIVES | MIX_XDG | MIX_REBAR3 | GIT_SSH* | GIT_ASKPASS | GIT_TERMINAL_PROMPT | \
        GIT_SSL_* | GIT_EXEC_PATH) ;;
      LC_ALL) ;;
      *) unset -v "$name" ;;
    esac
  done
}

# find_data: puts the directory where asdf or mise keeps what it installs into `data`, and mise's cache into `cache`.
find_data() {
  cache=${MISE_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mise}
  case $tools in
    asdf) data=${ASDF_DATA_DIR:-$HOME/.asdf} ;;
    mise) data=${MISE_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/mise} ;;
  esac
}

# find_manager NAME: puts the path of the program asdf or mise into REPLY; false where it is not installed. A login that
# is not interactive has neither on its PATH.
find_manager() {
  local directory
  if REPLY=$(type -P "$1"); then return 0; fi
  for directory in "$HOME"/.local/bin "$HOME"/bin "$HOME"/go/bin "$HOME"/.cargo/bin "$HOME/.local/share/$1/bin" \
    "${ASDF_DIR:-$HOME/.asdf}/bin" "${ASDF_DATA_DIR:-$HOME/.asdf}/bin" /home/linuxbrew/.linuxbrew/bin; do
    REPLY=$directory/$1
    if [[ -f $REPLY && -x $REPLY ]]; then return 0; fi
  done
  return 1
}

# is_whole TOOL DIRECTORY: whether an installation is there and its installation has ended.
is_whole() {
  local version=${2##*/} program
  # mise's links from `27` to `./27.1.2` stand for another directory of the same list.
  if [[ -L $2 && $(readlink -- "$2") == ./* ]]; then return 1; fi
  case $1 in
    erlang) program=erl ;;
    node | nodejs) program=node ;;
    *) program=$1 ;;
  esac
  [[ -x $2/bin/$program && ! -e $data/.warpbeam-$1-$version && ! -e $cache/$1/$version/incomplete ]]
}

# find_installed TOOL VERSION ...: puts the directory of the first of these versions that is installed into REPLY: of
# the version itself, or of the newest that begins with it. REPLY is empty for `system`. False where none is installed.
find_installed() {
  local tool=$1 version path
  local -a found
  shift
  for version; do
    case $version in
      system) REPLY=''; return 0 ;;
      path:*)
        REPLY=${version#path:}
        if is_whole "$tool" "$REPLY"; then return 0; fi
        continue
        ;;
      ref:* | tag:* | branch:* | rev:*) version=${version/:/-} ;;
      prefix:* | latest:*) version=${version#*:} ;;
    esac
    case $version in
      latest | stable | lts) found=("$data/installs/$tool"/[0-9]*) ;;
      *) found=("$data/installs/$tool/$version" "$data/installs/$tool/$version"[.-]*) ;;
    esac
    if is_whole "$tool" "${found[0]}"; then
      # The version itself; `latest` looks for the newest, as below.
      REPLY=${found[0]}
      if [[ ${REPLY##*/} == "$version" ]]; then return 0; fi
    fi
    while IFS= read -r path; do
      # sort(1) has a release candidate after the version itself.
      if [[ ${path##*/} == *-rc* && $version != *-rc* ]]; then continue; fi
      if is_whole "$tool" "$path"; then REPLY=$path; return 0; fi
    done < <(printf '%s\n' "${found[@]}" | sort -rV)
  done
  return 1
}

# fits VERSION WANTED: whether one of the WANTED versions is VERSION or begins it. Versions that only asdf and mise can
# resolve (`latest`, `ref:` and such) always fit.
fits() {
  local version
  [[ -n $2 ]] || return 0
  for version in $2; do
    version=${version#prefix:} version=${version#latest:}
    # A word such as `latest`, `main-otp-27` or `ref:v1.17`.
    [[ $version == [0-9]* ]] || return 0
    # `1.14.0-otp-25` asks for Elixir 1.14.0.
    version=${version%%-otp-*}
    [[ $1 != "$version" && $1 != "$version".* ]] || return 0
  done
  return 1
}

# find_versions: puts the versions of Elixir and OTP that are on the PATH into `elixir` and `otp`; false, with the
# reason in `said`, where Elixir does not run.
find_versions() { versions_of_files || versions_of_vm; }

# elixir_of_files, otp_of_files: the version as a file of the installation has it; false where it does not (shims,
# several OTPs). Every deploy asks, and most need no build: starting a VM would take a good part of their time.
elixir_of_files() {
  local program
  program=$(readlink -f -- "$(type -P elixir)") || return 1
  elixir=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' -- \
    "${program%/bin/elixir}/lib/elixir/ebin/elixir.app" 2>/dev/null) && [[ -n $elixir ]]
}
otp_of_files() {
  local program
  local -a otps
  program=$(readlink -f -- "$(type -P erl)") || return 1
  otps=("${program%/bin/erl}"/releases/*/OTP_VERSION)
  [[ ${#otps[@]} == 1 && -r ${otps[0]} ]] || return 1
  otp=$(<"${otps[0]}")
}
versions_of_files() { elixir_of_files && otp_of_files; }

# versions_of_vm: the same from one VM. The exact OTP version is in a file of the installation, unless the packager left
# it out.
versions_of_vm() {
  # shellcheck disable=SC2016 # Elixir
  said=$(elixir -e '
    major = List.to_string(:erlang.system_info(:otp_release))
    exact = Path.join([:code.root_dir(), "releases", major, "OTP_VERSION"])
    otp = case File.read(exact) do {:ok, text} -> String.trim(text); _ -> major end
    IO.puts("#{System.version()} #{otp}")' </dev/null 2>&1) || return 1
  read -r elixir otp <<<"$(tail -n 1 <<<"$said")"
}

# system_fits: whether the system has an Elixir and an Erlang that the source asks for.
system_fits() {
  [[ -n $want_elixir$want_erlang ]] || return 0
  type -P mix >/dev/null && find_versions && fits "$elixir" "$want_elixir" && fits "$otp" "$want_erlang"
}

# choose_manager: for `auto`, puts mise or asdf into `tools` where it has an Elixir, else the system where that fits,
# else mise or asdf where it is there to install what is asked for.
choose_manager() {
  [[ $tools == auto ]] || return 0
  for tools in mise asdf; do
    find_data
    if [[ -e $data/shims/elixir ]] && { [[ $tools == asdf ]] || find_manager mise; }; then return 0; fi
  done
  tools=system
  if system_fits; then return 0; fi
  for tools in mise asdf; do
    if find_manager "$tools"; then return 0; fi
  done
  tools=system
}

# use_versions: puts the versions that are asked for in front of the PATH, and those that are not installed into
# `missing`, in the order in which they must be installed.
use_versions() {
  local tool name want
  local -a versions
  missing=()
  PATH=$data/shims:$PATH
  for tool in erlang elixir nodejs; do
    want=want_$tool
    read -ra versions <<<"${!want}"
    ((${#versions[@]})) || continue
    name=$tool
    [[ $tools-$tool != mise-nodejs ]] || name=node
    if find_installed "$name" "${versions[@]}"; then
      use_version "$name" "$REPLY"
    elif [[ ${versions[0]} == path:* ]]; then
      refuse "${versions[0]#path:} on this build host is no $tool" 'the source asks for it by that path'
    else
      missing+=("$name ${versions[0]}")
    fi
  done
}

# use_version TOOL DIRECTORY: DIRECTORY is empty for the system's version.
use_version() {
  local variable=${tools^^}_${1^^}_VERSION version=${2##*/}
  # The shims of other tools, and plugins that run this one, prefer the variable to any file.
  export "$variable=${version:-system}"
  [[ -n $2 ]] || return 0
  PATH=$2/bin:$PATH
  case $1 in
    elixir)
      # asdf-elixir and mise keep Hex and rebar3 beside each Elixir, since they are compiled by it.
      export MIX_HOME=${MIX_HOME:-$2/.mix}
      export MIX_ARCHIVES=${MIX_ARCHIVES:-$MIX_HOME/archives}
      ;;
    node | nodejs) nodejs=$version ;;
  esac
}

choose_tools() {
  forget_login
  # In a container, the image says where its programs are (container.sh).
  if [[ -n ${WARPBEAM_IMAGE_PATH-} ]]; then PATH=$WARPBEAM_IMAGE_PATH:$PATH; fi
  choose_manager
  case $tools in
    asdf | mise)
      find_data
      if find_manager "$tools"; then
        manager=$REPLY
      elif [[ $tools == mise || ! -d $data/installs ]]; then
        refuse "$tools is not installed for $(id -un)" 'see build.tools in the inventory, and docs/toolchains.md'
      fi
      export MISE_YES=1 ASDF_DATA_DIR=${ASDF_DATA_DIR:-$HOME/.asdf}
      use_versions
      ;;
  esac
  if ((${#missing[@]})); then
    [[ -n ${manager-} ]] ||
      refuse "$(id -un) has no ${missing[0]}, and no program asdf to install it" 'see docs/toolchains.md'
    return 0
  fi
  need_programs 'install Elixir and Erlang on the build host, or see build.tools in the inventory' mix elixir erl
}

# need_programs HINT PROGRAM ...: refuses where one of these programs is missing.
need_programs() {
  local hint=$1 program
  shift
  for program; do
    type -P "$program" >/dev/null || refuse "there is no $program for $(id -un) on this build host" "$hint"
  done
}
