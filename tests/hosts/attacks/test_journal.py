"""The command of the docs does not show what the app writes in the journal under the helper's name."""

from __future__ import annotations

import secrets
from pathlib import Path

from tests.attack import HOST, bare, running_app
from tests.environment import LabEnvironment

COMMAND = "journalctl _UID=0 -t warpbeam-hello"


def test_a_line_that_the_app_forges_is_not_shown_by_the_documented_command(environment: LabEnvironment) -> None:
    assert f"`{COMMAND.replace('hello', 'APP')}" in (Path(__file__).parents[3] / "docs/security.md").read_text()
    word = secrets.token_hex(8)
    for who in (running_app, bare("hello")):
        who(environment.lab, f"logger -t warpbeam-hello {word}; echo")
    environment.lab.ssh(HOST, f"sudo logger -t warpbeam-hello root-{word}; sudo journalctl --sync")

    shown = environment.lab.ssh(HOST, f"sudo {COMMAND} -o cat --no-pager").stdout
    all_of_it = environment.lab.ssh(HOST, "sudo journalctl -t warpbeam-hello -o cat --no-pager").stdout

    assert all_of_it.splitlines().count(word) >= 1, "the attack must be there"
    assert word not in shown.splitlines()
    assert f"root-{word}" in shown.splitlines()
