"""The inventory for other tools."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task


@task(
    auto_shortflags=False,
    help={
        "list": "print all groups, hosts and variables",
        "host": "print the variables of this host",
    },
)
def ansible(c: Any, list: bool = False, host: str = "") -> None:
    """Print the hosts as Ansible's dynamic inventory; script/ansible-inventory is the script for `ansible -i`."""
    import sys

    import msgspec

    from warpbeam.cli.screen import print_lines
    from warpbeam.cli.session import session
    from warpbeam.error import Misuse
    from warpbeam.integrate.ansible import host_listing, listing
    from warpbeam.visible import visible_json

    here = session(c)
    if list == bool(host):
        raise Misuse("inventory.ansible: expected --list or --host NAME", "Ansible calls `SCRIPT --list`")
    answer = listing(here.inventory, here.fleet.jobs) if list else host_listing(here.inventory, host)
    text = msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()
    print_lines(sys.stdout, *visible_json(text).split("\n"))


namespace = Collection("inventory", ansible)
