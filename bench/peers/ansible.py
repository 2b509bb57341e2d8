"""Ansible: ansible-core from PyPI. See configuration/ansible."""

from __future__ import annotations

from functools import partial

import msgspec

from bench.measurement import Command
from bench.peer import CONFIGURATION, Peer, empty, ready, tidy
from bench.release import Release
from bench.site import Site
from bench.venv import program, version

PORT = 4102


def command(site: Site, release: Release, live: Release | None, name: str) -> Command:
    """Return `ansible-playbook` with an inventory for the site."""
    inventory = site.scratch / "ansible.json"
    common = {
        "ansible_user": "admin",
        # Named, so that Ansible need not look for an interpreter on each host ("Interpreter Discovery").
        "ansible_python_interpreter": "/usr/bin/python3",
        # In addition to Ansible's default arguments, which have ControlPersist.
        "ansible_ssh_common_args": f"-F {site.ssh_config}",
        "tarball": str(release.tarball),
        "release_name": name,
        "port": PORT,
    }
    hosts: dict[str, None] = dict.fromkeys(site.hosts)
    inventory.write_bytes(msgspec.json.encode({"all": {"hosts": hosts, "vars": common}}))
    where = CONFIGURATION / "ansible"
    return Command(
        (
            program("ansible-playbook"),
            *("-i", str(inventory), "-f", str(len(site.hosts)), str(where / "deploy.yml")),
        ),
        where,
        {
            "ANSIBLE_CONFIG": str(where / "ansible.cfg"),
            "ANSIBLE_HOME": str(site.scratch / "ansible"),
            "LC_ALL": "C.UTF-8",
        },
    )


PEER = Peer(
    name="ansible",
    port=PORT,
    version=partial(version, "ansible-core"),
    ready=partial(ready, name="ansible", port=PORT),
    empty=partial(empty, name="ansible"),
    command=command,
    tidy=partial(tidy, name="ansible"),
)
