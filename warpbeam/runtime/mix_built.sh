#!/bin/bash
# The checks of a release that `mix release` has made. `out` is its directory, `release` its name.

# mix_tidy: checks that the release is there, and removes what an artifact has not. Sets `erts` and `version`.
mix_tidy() {
  [[ -x $out/bin/$release && -f $out/releases/start_erl.data ]] ||
    fail "mix release made no bin/$release" 'is `release` in the inventory a release of mix.exs?'
  # Each host has its own cookie; an artifact has none.
  rm -f -- "$out/releases/COOKIE"
  # A `:tar` step of the release leaves its tarball, which holds the cookie, among the files. Warpbeam makes its own.
  rm -f -- "$out/$release"-*.tar.gz
  mix_read_version "$out"
}

# mix_check: checks that no cookie can come into an argument. Hosts start the VM from the start script's text without
# Mix's own `--cookie`, because every user of a host can read command lines. So the release must set no other cookie,
# and its script must contain that argument as Mix writes it.
mix_check() {
  local lines start
  mapfile -t lines < <(
    cd -- "$out"
    grep -EnsH '^[^#]*-(set|no)cookie' -- "${mix_argument_files[@]/#/releases/$version/}" || true
  )
  ((${#lines[@]} == 0)) || fail 'the release sets a cookie of its own, which every user of a host could read' \
    'take it out of rel/: setup makes the cookie' "${lines[@]}"
  start=$(<"$out/bin/$release")
  if [[ $start != *"$mix_cookie_argument"* || ${start//"$mix_cookie_argument"/} =~ -(-|set|no)cookie ]]; then
    fail "bin/$release does not hand over the cookie as Mix's own start script does" 'take it out of rel/overlays'
  fi
}

# mix_names_node: whether the release's env.sh sets RELEASE_NODE unconditionally: that overrides the node name of the
# slot.
mix_names_node() {
  grep -Es '^[^#]*RELEASE_NODE=' -- "$out/releases/$version/env.sh" |
    grep -Eqv 'RELEASE_NODE="?\$\{RELEASE_NODE:?[-=]'
}
