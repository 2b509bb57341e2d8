"""Plugins of asdf for Erlang and Elixir that install without a network: what a lab's build host has, twice.

asdf and mise run the same plugins. The host's own version is linked. The other version is a copy of the same files
that says another version, so a release shows by which of them it was built.
"""

from __future__ import annotations

from tests.environment import LabEnvironment

OTHER_ERLANG = "25.9.9"
OTHER_ELIXIR = "1.14.9"
PLUGINS = "/home/deploy/plugins"
# While this file is there, an installation of Erlang stops half way, once the program `erl` is in its place.
SLOW = "/home/deploy/slow"

ERLANG = f"""#!/bin/bash
set -euo pipefail
to=$ASDF_INSTALL_PATH from=/usr/lib/erlang
mkdir -p "$to"
case $ASDF_INSTALL_VERSION in
  "$(cat $from/releases/*/OTP_VERSION)") ln -s $from/* "$to"/ ;;
  {OTHER_ERLANG})
    cp -a $from/bin "$to"/
    if [[ -e {SLOW} ]]; then touch {SLOW}.begun; sleep 300; fi
    cp -a $from/. "$to"/
    echo {OTHER_ERLANG} | tee "$to"/releases/*/OTP_VERSION
    sed -i "s|/usr/lib/erlang|$to|g" "$to"/bin/erl
    touch "$(echo "$to"/erts-*/bin)/other"
    ;;
  *) echo "there is no Erlang $ASDF_INSTALL_VERSION to download" >&2; exit 5 ;;
esac
"""
ELIXIR = f"""#!/bin/bash
set -euo pipefail
to=$ASDF_INSTALL_PATH from=/usr/lib/elixir
# An Elixir that is compiled by another Erlang than the one that was asked for would not run.
[[ $(command -v erl) == */installs/erlang/* ]] || {{ echo "erl is $(command -v erl)" >&2; exit 6; }}
mkdir -p "$to"
case $ASDF_INSTALL_VERSION in
  {OTHER_ELIXIR})
    cp -a $from/. "$to"/
    sed -i 's/{{vsn, *"[^"]*"}}/{{vsn,"{OTHER_ELIXIR}"}}/' "$to"/lib/*/ebin/*.app
    ;;
  *) ln -s $from/* "$to"/ ;;
esac
"""
EXEC_ENV = "export MIX_HOME=${MIX_HOME:-$ASDF_INSTALL_PATH/.mix}\n"


def system_versions(environment: LabEnvironment) -> tuple[str, str]:
    """Return the versions of Elixir and Erlang that the build host's own packages have."""
    said = environment.lab.ssh(
        "build1",
        'sed -n \'s/.*{vsn, *"\\([^"]*\\)"}.*/\\1/p\' /usr/lib/elixir/lib/elixir/ebin/elixir.app;'
        " cat /usr/lib/erlang/releases/*/OTP_VERSION",
    ).stdout.split()
    return said[0], said[1]


def put_plugins(environment: LabEnvironment, directory: str = PLUGINS) -> None:
    """Write both plugins on the build host, as the deploy user's."""
    elixir, erlang = system_versions(environment)
    for tool, text, versions in (
        ("erlang", ERLANG, f"{erlang} 25.6.6 {OTHER_ERLANG}"),
        ("elixir", ELIXIR, f"{elixir} {OTHER_ELIXIR}"),
    ):
        place = f"{directory}/{tool}/bin"
        put(environment, f"{place}/install", text)
        put(environment, f"{place}/list-all", f"#!/bin/sh\necho {versions}\n")
    put(environment, f"{directory}/elixir/bin/exec-env", EXEC_ENV)


def as_deploy(environment: LabEnvironment, script: str) -> str:
    """Run a script as the deploy user on the build host, in its home, and return its output."""
    return environment.lab.ssh("build1", "sudo -iu deploy bash -s", stdin=script).stdout


def put(environment: LabEnvironment, path: str, text: str) -> None:
    """Write a program of the deploy user's on the build host."""
    command = f'mkdir -p "$(dirname {path})" && cat >{path} && chmod 755 {path}'
    environment.lab.ssh("build1", f"sudo -iu deploy bash -c '{command}'", stdin=text)
