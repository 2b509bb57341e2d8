"""Limits of the app's sandbox: it forbids what docs/security.md says, and nothing else that apps do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.environment import PROJECT, LabEnvironment
from tests.hosts.provision.test_setup import root

HOST = "web1"
WHERE = "/var/lib/hello/sandbox"
TRIES = (PROJECT / "tests" / "sandbox.exs").read_text()
# It takes a systemd with BPF.
DEPENDS = {":gen_tcp port 4999"}
# A row of the table of differences: what was tried, in code, and why it differs.
ROW = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \| (.+) \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def complete(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment, with the parts of OTP that web apps have."""
    head = environment.git("rev-parse", "HEAD")
    file = environment.source / "mix.exs"
    text = file.read_text()
    parts = "extra_applications: [:logger, :crypto, :public_key, :ssl, :inets]"
    file.write_text(text.replace("extra_applications: [:logger]", parts))
    static = environment.source / "priv" / "static"
    static.mkdir()
    (static / "a.txt").write_text("a\n")
    environment.commit("with more of OTP")
    environment.fab("deploy")
    yield environment
    environment.git("reset", "-q", "--hard", head)
    root(environment, f"rm -rf {WHERE}")


def fresh(environment: LabEnvironment) -> None:
    """An empty directory of the app's, and something in the host's own /tmp."""
    make = f"rm -rf {WHERE}; install -d -o hello -g hello {WHERE}; echo x >/tmp/sandbox-of-others"
    clear = "rm -f /tmp/sandbox-try /var/tmp/sandbox-try /dev/shm/sandbox-try /run/lock/sandbox-try"
    root(environment, f"{make}; {clear}; chmod 644 /tmp/sandbox-of-others")


def results(text: str) -> dict[str, str]:
    """Return the result of each try."""
    return dict(re.findall(r"^@ (.+?) => (.*)$", text, re.MULTILINE))


def inside(environment: LabEnvironment) -> dict[str, str]:
    """In the running instance."""
    fresh(environment)
    return results(environment.fab("rpc", "-", "--host", HOST, stdin=TRIES.replace("DIRECTORY", WHERE)).stdout)


def evaluated(environment: LabEnvironment) -> dict[str, str]:
    """In a one-off evaluation, which has the sandbox that a migration has."""
    fresh(environment)
    return results(environment.fab("eval", "-", "--host", HOST, stdin=TRIES.replace("DIRECTORY", WHERE)).stdout)


def outside(environment: LabEnvironment) -> dict[str, str]:
    """Run the tries by the same release and the same user, without the unit; return the results."""
    fresh(environment)
    command = (
        "cd /opt/acme/hello/current && exec env -i PATH=/usr/bin:/bin LANG=C.UTF-8 HOME=/var/lib/hello "
        "RELEASE_COOKIE=none RELEASE_DISTRIBUTION=none RELEASE_TMP=/var/lib/hello "
        "setpriv --reuid=hello --regid=hello --clear-groups "
        "bin/hello eval 'IO.read(:stdio, :eof) |> Code.eval_string()'"
    )
    done = environment.lab.ssh(HOST, f"sudo bash -c {shlex.quote(command)}", stdin=TRIES.replace("DIRECTORY", WHERE))
    return results(done.stdout)


def documented() -> set[str]:
    """Return the differences that the page names."""
    page = (PROJECT / "docs" / "security.md").read_text()
    table = page.partition("### What differs in the sandbox")[2].partition("\n## ")[0]
    return {name for row in ROW.finditer(table) for name in re.findall("`([^`]+)`", row[1])}


def test_the_sandbox_forbids_what_the_page_says_and_nothing_else(complete: LabEnvironment) -> None:
    free = outside(complete)
    confined = {"rpc": inside(complete), "eval": evaluated(complete)}

    assert len(free) > 140
    for how, found in confined.items():
        assert found.keys() == free.keys(), how
        differ = {name: (found[name], free[name]) for name in free if found[name] != free[name]}
        print(how, *(f"{name}: {pair[0]} <> {pair[1]}" for name, pair in differ.items()), sep="\n")
        assert {name: pair for name, pair in differ.items() if name not in documented()} == {}, how
        # The listed differences still exist.
        assert documented() - differ.keys() - DEPENDS == set(), how
    # And what must work does: outside it could be as broken.
    for name in ("File.touch", "File.chmod 600", "File.cp", "System.cmd cp -r from release", ":ssl echo", ":httpc"):
        assert re.match(r":ok|{:ok|{\"\", 0|\"ok\"", confined["rpc"][name]), (name, confined["rpc"][name])
