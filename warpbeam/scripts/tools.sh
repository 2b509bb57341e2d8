#!/bin/bash
# Elixir and Erlang for a build: asdf's, mise's or the system's, as the source's .tool-versions asks.
#
# Parameters: tools (auto, asdf, mise, system), want_elixir, want_erlang (empty: whatever there is).
: "${tools?}" "${want_elixir?}" "${want_erlang?}"

# A login that is not interactive has none of these on its PATH.
find_mise() { command -v mise || { [[ -x $HOME/.local/bin/mise ]] && echo "$HOME/.local/bin/mise"; }; }

choose_tools() {
  local asdf=${ASDF_DATA_DIR:-$HOME/.asdf} mise_data=${MISE_DATA_DIR:-$HOME/.local/share/mise}
  if [[ $tools == auto ]]; then
    if find_mise >/dev/null && [[ -e $mise_data/shims/elixir ]]; then
      tools=mise
    elif [[ -e $asdf/shims/elixir ]]; then
      tools=asdf
    else
      tools=system
    fi
  fi
  # asdf's and mise's shims take a version from the environment before any file; so the working directory does not matter.
  case $tools in
    asdf)
      # asdf >= 0.16 is one binary without asdf.sh; its shims are enough for both.
      [[ -d $asdf/shims ]] || refuse "asdf is not installed for $(id -un): there is no $asdf/shims" 'see build.tools in the inventory'
      PATH=$asdf/shims:$asdf/bin:$HOME/.local/bin:$HOME/go/bin:$PATH
      [[ -z $want_elixir ]] || export ASDF_ELIXIR_VERSION=$want_elixir
      [[ -z $want_erlang ]] || export ASDF_ERLANG_VERSION=$want_erlang
      ;;
    mise)
      find_mise >/dev/null || refuse "mise is not installed for $(id -un)" 'see build.tools in the inventory'
      PATH=$mise_data/shims:$(dirname -- "$(find_mise)"):$PATH
      export MISE_YES=1
      [[ -z $want_elixir ]] || export MISE_ELIXIR_VERSION=$want_elixir
      [[ -z $want_erlang ]] || export MISE_ERLANG_VERSION=$want_erlang
      ;;
  esac
  command -v mix >/dev/null || refuse "there is no mix for $(id -un) (tools: $tools)" 'install Elixir on the build host, or see build.tools in the inventory'
}
