"""Attacks of a hostile app on its other slot, which runs as the same user (docs/security.md)."""

from __future__ import annotations

from tests.attack import HOST, running_app
from tests.environment import LabEnvironment
from tests.hosts.provision.test_setup import root

# A process of the app's user in a unit of its own, with the runtime directory that the other slot would have.
OTHER = """
systemd-run -q --unit=other-slot --uid=hello --gid=hello -p RuntimeDirectory=hello-other sleep 600
systemctl show -P MainPID other-slot
"""
TRIED = """
tried() {{ if (eval "$2") >/dev/null 2>&1; then echo "$1 yes"; else echo "$1 no"; fi; }}
tried memory ': >>/proc/{pid}/mem'
tried environment 'cat /proc/{pid}/environ'
tried directory ': >/run/hello-other/drain'
tried code ': >>/opt/acme/hello/current/bin/hello'
tried current 'ln -sfnT /tmp /opt/acme/hello/current'
tried history ': >>/opt/acme/hello/history.jsonl'
tried signal 'kill -TERM {pid}'
"""


def test_an_app_can_end_its_other_slot_and_cannot_change_its_code(environment: LabEnvironment) -> None:
    pid = root(environment, OTHER).strip()
    try:
        said = running_app(environment.lab, TRIED.format(pid=pid)).split()
        state = root(environment, "systemctl is-active other-slot", check=False).strip()
    finally:
        root(environment, "systemctl stop other-slot", check=False)

    can = dict(zip(said[::2], said[1::2], strict=True))
    assert {what for what, answer in can.items() if answer == "yes"} == {"directory", "signal"}, HOST
    assert state != "active"
