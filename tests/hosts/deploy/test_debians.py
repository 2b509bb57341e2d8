"""Hosts that do not all run the same Debian: the build host's C library decides where its releases can go.

Each Debian is in a lab of its own. The labs cannot reach each other, and need not: an artifact goes by way of `fab`.
"""

from __future__ import annotations

from pathlib import Path

from tests.environment import LabEnvironment
from tests.lab import LabHandle
from warpbeam.lab.state import Suite

HOST = "web9"


def mixed(directory: Path, build: LabHandle, app: LabHandle) -> LabEnvironment:
    """The sample app, built in one lab and run in another, and what it takes set up."""
    environment = LabEnvironment(build, directory)
    known_hosts = directory / "known_hosts"
    known_hosts.write_text("".join((lab.ssh_config.parent / "known_hosts").read_text() for lab in (build, app)))
    config = directory / "ssh_config"
    config.touch()
    environment.settings |= {
        "hosts": {
            HOST: {"address": app.address(HOST), "roles": ["app", "migrate"]},
            "build1": {"address": build.address("build1"), "roles": ["build"]},
        },
        "ssh": {
            "config": str(config),
            "known_hosts": str(known_hosts),
            "identities": [str(build.key), str(app.key)],
        },
    }
    environment.write()
    environment.fab("setup")
    return environment


def test_a_release_built_on_debian_13_is_refused_on_12_before_anything_is_touched(
    both: dict[Suite, LabHandle], tmp_path: Path
) -> None:
    environment = mixed(tmp_path, build=both["trixie"], app=both["bookworm"])
    look = "sudo find /etc/acme /opt/acme/hello/releases /opt/acme/hello/slots -printf '%p %l %T@\\n' | sort"
    before = both["bookworm"].ssh(HOST, look).stdout

    said = environment.fab("deploy", expect=3).stderr

    old, new = "glibc 2.36 (Debian GNU/Linux 12 (bookworm))", "glibc 2.41 (Debian GNU/Linux 13 (trixie))"
    assert f"{HOST}: its C library is {old}; the release was built with {new}" in said
    assert "build on a host whose C library is no newer" in said
    assert both["bookworm"].ssh(HOST, look).stdout == before
    both["bookworm"].ssh(HOST, "! sudo test -e /opt/acme/hello/current && ! systemctl is-active --quiet 'hello@*'")


def test_a_release_built_on_debian_12_runs_on_13(both: dict[Suite, LabHandle], tmp_path: Path) -> None:
    environment = mixed(tmp_path, build=both["bookworm"], app=both["trixie"])

    environment.fab("deploy")

    assert {host: row["health"] for host, row in environment.status().items()} == {HOST: "healthy"}
