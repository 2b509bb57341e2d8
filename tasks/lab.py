"""Throwaway real hosts on this machine."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task

NAME = "the lab's name; several live side by side"
HOST = "a host of the lab, such as web1"


@task(
    auto_shortflags=False,
    help={
        "hosts": "how many: build1, then web1, web2 and so on (default 3)",
        "suite": "the Debian that they run: bookworm (the default of a new lab) or trixie",
        "name": NAME,
        "opt-size": "size of the disk of its own that each new host has at /opt, in MiB",
    },
)
def up(c: Any, hosts: int = 3, suite: str = "", name: str = "demo", opt_size: int = 2048) -> None:
    """Boot real Debian hosts on this machine, or those of them that do not run."""
    import sys

    from warpbeam.cli.screen import print_lines
    from warpbeam.cli.session import session
    from warpbeam.lab.client import config_file
    from warpbeam.lab.lifetime import up
    from warpbeam.lab.state import check_suite, default_hosts

    up(name, default_hosts(hosts), check_suite(suite) if suite else None, session(c).emit, opt_size)
    print_lines(sys.stdout, f"ssh -F {config_file(name)} build1")


@task(auto_shortflags=False, help={"name": NAME, "json": "print JSON on stdout"})
def status(c: Any, name: str = "demo", json: bool = False) -> None:
    """Show which of the lab's hosts run, and their addresses."""
    import sys

    import msgspec

    from warpbeam.cli.screen import print_lines
    from warpbeam.lab.lifetime import status
    from warpbeam.visible import visible_json

    hosts = status(name)
    if json:
        print_lines(sys.stdout, visible_json(msgspec.json.encode(hosts).decode()))
        return
    for host in hosts:
        state = f"up, pid {host.pid}" if host.pid else "off"
        print_lines(sys.stdout, f"{host.name:12} {host.kind:6} {host.address4:15} {host.address6:28} {state}")


@task(
    auto_shortflags=False,
    help={"name": NAME, "purge": "also remove the cached root file systems that no other lab uses"},
)
def down(c: Any, name: str = "demo", purge: bool = False) -> None:
    """Remove the lab: its hosts, their disks, its network."""
    from warpbeam.cli.session import session
    from warpbeam.lab.lifetime import down

    down(name, session(c).emit, purge)


@task(auto_shortflags=False, positional=["host"], help={"host": HOST, "name": NAME})
def ssh(c: Any, host: str, name: str = "demo") -> None:
    """Log in to a host of the lab, as admin."""
    import os
    import shutil

    from warpbeam.cli.session import session
    from warpbeam.error import Refused
    from warpbeam.lab.client import ssh_argv
    from warpbeam.lab.state import read_lab

    program = shutil.which("ssh")
    if program is None:
        raise Refused("this machine has no ssh", "install the package openssh-client")
    read_lab(name).member(host)
    session(c).close()
    # ssh replaces this process, so nothing of ours is between it and the terminal.
    os.execv(program, ssh_argv(name, host))  # noqa: S606 - no shell is wanted


@task(auto_shortflags=False, positional=["host"], help={"host": HOST, "name": NAME})
def crash(c: Any, host: str, name: str = "demo") -> None:
    """Crash a host: it ends at once, but what it wrote reaches its disk."""
    from warpbeam.cli.session import session
    from warpbeam.lab.lifetime import crash

    crash(name, host, session(c).emit)


@task(auto_shortflags=False, positional=["host"], help={"host": HOST, "name": NAME})
def power_loss(c: Any, host: str, name: str = "demo") -> None:
    """Cut a host's power: what it had not synced to /opt is lost."""
    from warpbeam.cli.session import session
    from warpbeam.lab.lifetime import power_loss

    power_loss(name, host, session(c).emit)


@task(auto_shortflags=False, positional=["host"], help={"host": HOST, "name": NAME})
def boot(c: Any, host: str, name: str = "demo") -> None:
    """Boot a host that is off."""
    from warpbeam.cli.session import session
    from warpbeam.lab.lifetime import boot

    boot(name, host, session(c).emit)


namespace = Collection(up, status, down, ssh, crash, power_loss, boot)
