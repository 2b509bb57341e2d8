#!/bin/bash
# Chooses the Elixir and Erlang of a build: those of asdf, mise or the system, in the versions that .tool-versions
# names.
#
# Parameters: tools (auto, asdf, mise or system), want_elixir, want_erlang (versions, any of which will do; empty: any
# version).
: "${tools?}" "${want_elixir?}" "${want_erlang?}"

# A login that is not interactive does not have mise on its PATH.
find_mise() { command -v mise || { [[ -x $HOME/.local/bin/mise ]] && echo "$HOME/.local/bin/mise"; }; }

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

# installed TOOL VERSION ...: puts the first of these versions that asdf has into REPLY: the version itself, or the
# newest that begins with it. Where asdf has none of them, REPLY is the first.
installed() {
  local tool=$1 version found
  REPLY=''
  shift
  for version; do
    case $version in
      system | ref:* | path:*) REPLY=$version; return ;;
    esac
    version=${version#prefix:} version=${version#latest:}
    found=("$asdf/installs/$tool/$version" "$asdf/installs/$tool/$version"[.-]*)
    if [[ -d ${found[0]} ]]; then REPLY=$version; return; fi
    if [[ -d ${found[1]} ]]; then
      REPLY=$(printf '%s\n' "${found[@]:1}" | sort -V | tail -n 1)
      REPLY=${REPLY##*/}
      return
    fi
  done
  REPLY=${1-}
}

# fits VERSION WANTED: whether one of the WANTED versions is VERSION or begins it. Versions that only asdf and mise can
# resolve (`latest`, `ref:` and such) always fit.
fits() {
  local version
  [[ -n $2 ]] || return 0
  for version in $2; do
    case $version in
      system | latest | ref:* | path:*) return 0 ;;
    esac
    version=${version#prefix:} version=${version#latest:}
    # `1.14.0-otp-25` asks for Elixir 1.14.0.
    version=${version%%-otp-*}
    [[ $1 != "$version" && $1 != "$version".* ]] || return 0
  done
  return 1
}

choose_tools() {
  local asdf=${ASDF_DATA_DIR:-$HOME/.asdf} mise_data=${MISE_DATA_DIR:-$HOME/.local/share/mise}
  forget_login
  if [[ $tools == auto ]]; then
    if find_mise >/dev/null && [[ -e $mise_data/shims/elixir ]]; then
      tools=mise
    elif [[ -e $asdf/shims/elixir ]]; then
      tools=asdf
    else
      tools=system
    fi
  fi
  # The shims of asdf and mise prefer a version in the environment to any file, so the working directory does not
  # matter.
  case $tools in
    asdf)
      # asdf >= 0.16 is one binary without asdf.sh; its shims are enough for both.
      [[ -d $asdf/shims ]] ||
        refuse "asdf is not installed for $(id -un): there is no $asdf/shims" 'see build.tools in the inventory'
      PATH=$asdf/shims:$asdf/bin:$HOME/.local/bin:$HOME/go/bin:$PATH
      # shellcheck disable=SC2086 # words
      [[ -z $want_elixir ]] || { installed elixir $want_elixir; export ASDF_ELIXIR_VERSION=$REPLY; }
      # shellcheck disable=SC2086 # words
      [[ -z $want_erlang ]] || { installed erlang $want_erlang; export ASDF_ERLANG_VERSION=$REPLY; }
      ;;
    mise)
      find_mise >/dev/null || refuse "mise is not installed for $(id -un)" 'see build.tools in the inventory'
      PATH=$mise_data/shims:$(dirname -- "$(find_mise)"):$PATH
      export MISE_YES=1
      [[ -z $want_elixir ]] || export MISE_ELIXIR_VERSION=${want_elixir%% *}
      [[ -z $want_erlang ]] || export MISE_ERLANG_VERSION=${want_erlang%% *}
      ;;
  esac
  command -v mix >/dev/null ||
    refuse "there is no mix for $(id -un) (tools: $tools)" \
      'install Elixir on the build host, or see build.tools in the inventory'
}
