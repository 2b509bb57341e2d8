"""The steps of docs/removing.md remove an app from a host: all of it, and nothing else."""

from __future__ import annotations

import re

from tests.environment import PROJECT, LabEnvironment

HOST = "web1"
# Files, users and groups, units and rules of a host, without what any program changes as it runs.
LOOK = r"""
find /etc /home /lib/systemd /opt /usr/lib/warpbeam /var/lib /run -xdev \
  ! -path '/run/*/*' ! -path '/var/lib/systemd/*' ! -path '/var/lib/hello/*' ! -path '/etc/*-' \
  ! -path '/etc/.pwd.lock' ! -path '/etc/systemd/system/user@*' -printf '%y %u:%g %p\n'
getent passwd
getent group
systemctl list-unit-files --no-legend 'leaving*'
nft --stateless list tables
"""


def block(number: int) -> str:
    """The commands of the page, with the names of an app that goes."""
    text = (PROJECT / "docs" / "removing.md").read_text()
    commands: str = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[number]
    return commands.replace("org=acme app=shop deploy=deploy", "org=going app=leaving deploy=leaver")


def looked(environment: LabEnvironment) -> set[str]:
    return set(environment.lab.ssh(HOST, "sudo bash -s", stdin=LOOK).stdout.splitlines())


def test_an_app_that_was_set_up_is_taken_off_its_host_by_what_the_page_says(environment: LabEnvironment) -> None:
    before = looked(environment)
    changes = {
        "org": "going",
        "app": "leaving",
        "users": {**environment.settings["users"], "deploy": "leaver"},
        "http": {"port": 8123, "slots": [4901, 4902], "distribution": [9901, 9902], "maintenance": 4903},
    }
    with environment.another("leaving", **changes):
        environment.fab("-H", HOST, "setup", inventory="leaving")
        assert {line.split()[-1] for line in looked(environment) - before} >= {
            "/usr/lib/warpbeam/leaving/warpbeam-helper",
            "/etc/sudoers.d/warpbeam-leaving",
            "/opt/going/leaving/releases",
        }

        manager = f"user@{environment.lab.ssh(HOST, 'id -u leaver').stdout.strip()}.service"
        assert environment.lab.ssh(HOST, f"systemctl is-enabled {manager}", check=False).stdout == "masked\n"

        environment.lab.ssh(HOST, "sudo bash -s", stdin=block(0))

    # The next user with that number may have a manager (here others may have had the number before).
    assert environment.lab.ssh(HOST, f"systemctl is-enabled {manager}", check=False).stdout != "masked\n"
    # The rest is other apps' too: here it was the last of its org alone.
    assert {line.split()[-1] for line in looked(environment) ^ before} == {"/opt/going", "/etc/going"}
    # It leaves the files of other apps (rmdir(1)).
    environment.lab.ssh(HOST, "sudo bash -s", stdin="org=going\n" + block(1).splitlines()[0] + " 2>/dev/null; true")
    assert looked(environment) == before
