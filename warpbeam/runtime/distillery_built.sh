#!/bin/bash
# The checks of a release that Distillery has made. `out` is its directory, `release` its name.

# distillery_tidy: checks that the release is there, and removes what an artifact has not. Sets `erts` and `version`.
distillery_tidy() {
  local file text=''
  [[ -x $out/bin/$release && -f $out/releases/start_erl.data ]] ||
    fail "Distillery made no bin/$release" 'is `release` in the inventory a release of rel/config.exs?'
  distillery_read_version "$out"
  [[ -x $out/erts-$erts/bin/erl ]] || fail 'the release has no Erlang of its own (ERTS), so hosts could not start it' \
    'set include_erts: true in rel/config.exs, and dev_mode: false'
  # The tarball of an `--upgrade` or of a plugin would hold the release once more, with its cookie.
  rm -f -- "$out/releases/$version/$release.tar.gz" "$out/releases/COOKIE"
  # Each host has its own cookie; an artifact has none.
  file=$out/releases/$version/vm.args
  if [[ -f $file && ! -L $file ]]; then
    IFS= read -r -d '' text <"$file" || true
    distillery_without "$text" setcookie
    printf '%s' "$REPLY" >"$file"
  fi
}

# distillery_check: checks that no cookie can come into an argument: hosts start the VM with a vm.args without one, and
# every user of a host can read command lines.
distillery_check() {
  local lines
  mapfile -t lines < <(
    cd -- "$out"
    grep -EnsH -e '^[^#]*-(set|no)cookie' -- vm.args "releases/$version/vm.args" || true
    grep -EnsH -e 'ERL_OPTS:?-[^}]*-(set|no)cookie' -- "releases/$version/$release.sh" || true
  )
  ((${#lines[@]} == 0)) || fail 'the release sets a cookie of its own, which every user of a host could read' \
    'take it out of rel/: setup makes the cookie' "${lines[@]}"
  [[ -d $out/releases/$version/libexec/commands ]] ||
    fail "bin/$release is no start script of Distillery 1.5 or 2" 'expected releases/VERSION/libexec/commands'
}

# distillery_names_node: never, since the launcher writes the name of the node into vm.args.
distillery_names_node() { return 1; }

# distillery_make: runs Distillery's release task in the source. Sets `out`, the release's directory.
distillery_make() {
  local task=release words=(--name="$release" --no-tar) made=_build/$mix_env/rel/$release hint
  out=$build/out
  rm -rf -- "$out" "_build/$mix_env/rel"
  [[ -f rel/config.exs ]] || fail 'there is no rel/config.exs, which Distillery needs' \
    '`fab init.distillery` writes one; without Distillery: build.flavor: mix'
  # Without its name, rel/config.exs chooses an environment, by default the one of MIX_ENV.
  if grep -Eqs "^[[:space:]]*environment[[:space:](]+:\"?$mix_env\\b" rel/config.exs; then
    words+=(--env="$mix_env")
  fi
  # Distillery 2.1 renamed its task, because Elixir 1.9 has a task `release` too. That one would run, unless the paths
  # of the dependencies come first.
  if [[ -e _build/$mix_env/lib/distillery/ebin/Elixir.Mix.Tasks.Distillery.Release.beam ]]; then
    task=distillery.release
  fi
  if ! attempt mix 'do' deps.loadpaths, "$task" "${words[@]}"; then
    hint=''
    case $(tail -n 400 -- "$build/log") in
      *'Release failed:'*:eacces*)
        hint='Distillery 2.1.1 and older make no release with Erlang/OTP 25 or newer: see docs/distillery.md' ;;
      *'Invalid application `:sasl`'*)
        hint='Elixir 1.15 and newer need `prune_code_paths: false` in `project` of mix.exs: see docs/distillery.md' ;;
      *'Mix.Dep.loaded'*) hint='Distillery 1.5 makes no release with this Elixir: see docs/distillery.md' ;;
      *'could not be found'*) hint='is Distillery among the dependencies for this MIX_ENV?' ;;
    esac
    [[ -n $hint ]] || fail_of "mix $task"
    fail "mix $task failed on the build host" "$hint"
  fi
  [[ -d $made ]] || fail "mix $task made no $made" \
    'is `release` in the inventory a release of rel/config.exs, and output_dir the default?'
  mv -T -- "$made" "$out"
}
