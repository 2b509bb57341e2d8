#!/bin/bash
# Makes an app's assets, before the release is assembled: those that the app's files ask for, or by commands of the
# inventory.
#
# Parameters: assets (auto: what the app has; own: asset_commands; none), asset_commands (each for bash, in order).
: "${assets?}" "${asset_commands[@]-}"

# find_assets: puts the directories for npm into node_projects; fails early where one cannot be installed.
find_assets() {
  local directory program
  node_projects=()
  [[ $assets == auto ]] || return 0
  for directory in assets apps/*/assets; do
    [[ -f $directory/package.json ]] || continue
    if [[ -f $directory/package-lock.json || -f $directory/npm-shrinkwrap.json ]]; then
      node_projects+=("$directory")
    else
      check_unlocked "$directory"
    fi
  done
  ((${#node_projects[@]})) || return 0
  for program in node npm; do
    command -v "$program" >/dev/null ||
      fail "${node_projects[0]}/package.json needs npm, and $(id -un) has no $program on the build host" \
        "install the package npm there (apt install npm, dnf install npm), or set build.assets"
  done
}

# check_unlocked DIRECTORY: fails where the packages of DIRECTORY are locked by no file, or not by npm's.
check_unlocked() {
  local directory=$1 file program text
  for file in yarn.lock:yarn pnpm-lock.yaml:pnpm bun.lock:bun bun.lockb:bun; do
    program=${file#*:} file=${file%:*}
    [[ -f $directory/$file ]] || continue
    fail "$directory has $file, and build.assets: auto knows npm alone" \
      "give the commands: build: {assets: ['cd $directory && $program install --frozen-lockfile', mix assets.deploy]}"
  done
  text=$(<"$directory/package.json")
  [[ $text =~ [dD]ependencies\"[[:space:]]*:[[:space:]]*\{[[:space:]]*\" ]] || return 0
  fail "$directory/package.json has dependencies, and no package-lock.json says which versions" \
    "run \`npm install\` in $directory and commit package-lock.json, or set build.assets"
}

# make_assets: the step itself. It is not shown for an app that has nothing to make.
make_assets() {
  local number=0 directory task command
  local -a mix_tasks=() scripts=()
  if [[ $assets == auto ]]; then find_tasks; fi
  ((${#node_projects[@]} + ${#mix_tasks[@]} + ${#asset_commands[@]})) || return 0
  step assets
  # logs_max: npm would write a log of each run beside its cache. audit: it would send the names of all packages.
  export npm_config_cache=$build/npm npm_config_logs_max=0 npm_config_audit=false npm_config_fund=false
  export npm_config_update_notifier=false
  for directory in "${node_projects[@]}"; do install_packages "$directory"; done
  for directory in "${scripts[@]}"; do
    make_asset "npm run deploy in $directory" env -C "$directory" npm run deploy
  done
  for task in "${mix_tasks[@]}"; do
    directory=${task%:*} task=${task##*:}
    make_asset "mix $task" env -C "$directory" mix "$task"
  done
  # bash reads a command from a pipe: its text is in no argument list.
  for command in "${asset_commands[@]}"; do
    number=$((number + 1))
    make_asset "command $number of build.assets" bash -e <(printf '%s\n' "$command")
  done
}

# make_asset WHAT COMMAND ...: runs a command of the step with the build's secrets, or fails.
make_asset() {
  local what=$1
  shift
  attempt_with_secrets "${secret_names[*]}" "$@" && return
  if find_full; then recognise enospc; else recognise_assets "$(tail -n 400 -- "$build/log")"; fi
  fail "$what failed on the build host" "$REPLY"
}

# install_packages DIRECTORY: runs `npm ci`, which deletes node_modules and makes it anew. Where node_modules has stayed
# from a build with the same files, that would give the same again.
install_packages() {
  local directory=$1 made sum
  made=$build/npm-ci/${directory//\//+}
  sum=$({
    node --version
    printf '%s\n' "${NODE_ENV-}" "${variables[@]}"
    cat -- "$directory"/{package.json,package-lock.json,npm-shrinkwrap.json,.npmrc} ~/.npmrc 2>/dev/null || true
  } | sha256sum)
  if [[ -d $directory/node_modules && -f $made && $(<"$made") == "$sum" ]] && ! installs_more "$directory"; then
    line "$directory/node_modules is as the last build left it"
    return
  fi
  mkdir -p -- "$build/npm-ci"
  rm -f -- "$made"
  make_asset "npm ci in $directory" env -C "$directory" npm ci
  printf '%s\n' "$sum" >"$made"
}

# installs_more DIRECTORY: whether `npm ci` does more there than its lock file says: scripts of the package itself,
# packages inside of linked ones, copies of directories.
installs_more() {
  local lock=$1/package-lock.json
  [[ ! -f $1/npm-shrinkwrap.json ]] || lock=$1/npm-shrinkwrap.json
  # The first form of lock files does not say what is inside of linked packages.
  grep -Eqs '"lockfileVersion"[[:space:]]*:[[:space:]]*1[^0-9]' -- "$lock" ||
    grep -Eqs '"((pre|post)?install|prepublish|(pre|post)?prepare)"[[:space:]]*:' -- "$1/package.json" ||
    grep -Eqs 'install[-_]links' -- "$1/.npmrc" ~/.npmrc ||
    grep -Es '^ *"[^"]*/node_modules/' -- "$lock" | grep -qv '^ *"node_modules/'
}

# find_tasks: puts what Mix must run into mix_tasks, each as DIRECTORY:TASK, and into scripts the directories where npm
# must run the script `deploy` before that. No VM is started to ask: aliases are in the text of mix.exs, and tasks are
# compiled.
find_tasks() {
  local directory text
  if has_alias . || has_task Assets.Deploy; then
    mix_tasks=(.:assets.deploy)
  else
    for directory in apps/*; do
      if has_alias "$directory"; then mix_tasks+=("$directory:assets.deploy"); fi
    done
  fi
  if ((${#mix_tasks[@]} == 0)) && has_task Phx.Digest; then
    # Phoenix before 1.6 has no assets.deploy: its script `deploy` runs webpack.
    for directory in "${node_projects[@]}"; do
      text=$(<"$directory/package.json")
      [[ $text =~ \"scripts\"[[:space:]]*:[[:space:]]*\{[^}]*\"deploy\"[[:space:]]*: ]] || continue
      scripts+=("$directory")
    done
    if ((${#scripts[@]})) || has_static; then mix_tasks=(.:phx.digest); fi
  fi
  # A step of the release may run the task: a second run would only take its time.
  if ((${#mix_tasks[@]})) && is_run_by_mix_exs "${mix_tasks[0]##*:}"; then mix_tasks=(); fi
}

# is_run_by_mix_exs TASK: whether code in mix.exs runs that task.
is_run_by_mix_exs() { grep -Eqs "^[^#]*Mix\.Task\.(re)?run\(?[[:space:]]*\"$1\"" -- mix.exs apps/*/mix.exs; }

# has_alias DIRECTORY: whether mix.exs there names assets.deploy as an alias.
has_alias() { grep -Eqs '^[^#]*("assets\.deploy":|:"assets\.deploy")' -- "$1/mix.exs"; }

# has_task MODULE: whether the app or a dependency has that task of Mix.
has_task() {
  local found
  found=("${MIX_BUILD_PATH:-${MIX_BUILD_ROOT:-_build}/$mix_env}"/lib/*/ebin/"Elixir.Mix.Tasks.$1.beam")
  [[ -e ${found[0]} ]]
}

# has_static: whether there are files for phx.digest.
has_static() {
  local directory
  for directory in priv/static apps/*/priv/static; do
    if [[ -d $directory ]]; then return 0; fi
  done
  return 1
}

# recognise_assets TEXT: puts the hint for the output of npm or of a task into REPLY.
recognise_assets() {
  case $1 in
    *E401* | *ENEEDAUTH* | *'Failed to replace env in config'*)
      REPLY='does build.secrets give the token, under the name that .npmrc has in ${…}?' ;;
    *E403*) REPLY='may the token that build.secrets gives read that package?' ;;
    *E404*) REPLY='a private package looks missing without its token: see build.secrets, and .npmrc' ;;
    *ENOTFOUND* | *EAI_AGAIN* | *ECONNREFUSED* | *ECONNRESET* | *ETIMEDOUT* | *EHOSTUNREACH* | *ENETUNREACH*)
      REPLY='can the build host reach the registry that .npmrc and package-lock.json name?' ;;
    *'code SELF_SIGNED_CERT_IN_CHAIN'* | *'code DEPTH_ZERO_SELF_SIGNED_CERT'* | \
      *'code UNABLE_TO_VERIFY_LEAF_SIGNATURE'* | *'code UNABLE_TO_GET_ISSUER_CERT'*)
      REPLY='Node.js does not trust the certificate of that server: `cafile` in .npmrc, or NODE_EXTRA_CA_CERTS in'
      REPLY+=' build.env, names a file with its authority on the build host'
      ;;
    *'npm error code EUSAGE'* | *'npm ERR! code EUSAGE'*)
      REPLY='run `npm install` in that directory, commit package-lock.json, and build again' ;;
    *EINTEGRITY*) REPLY='a package is not the one that package-lock.json was made with' ;;
    *'The task "assets.deploy" could not be found'* | *'The task "phx.digest" could not be found'*)
      REPLY='set build.assets to `none`, or to the commands that make the assets' ;;
    *) recognise "$1" ;;
  esac
}
