"""Help of `fab` for new users: the real program, on this project's own fabfile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from warpbeam.cli.task_list import GROUPS, grouped

PROJECT = Path(__file__).parents[3]


def fab(*words: str, inventory: Path | None = None, columns: int = 80) -> tuple[int, str, str]:
    """Run `fab`; return its exit status, standard output and standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FABRIC_", "WARPBEAM_"))}
    more = {"WARPBEAM_INVENTORY": str(inventory)} if inventory else {}
    done = subprocess.run(
        [Path(sys.executable).parent / "fab", *words],
        cwd=PROJECT,
        env={**clean, **more, "COLUMNS": str(columns)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["dmeo", "deploy"],
            'there is no inventory/dmeo.yml and no task dmeo; did you mean "demo"?',
            "the environments are: demo; `fab --list` shows every task",
        ),
        (
            ["production", "deploy"],
            "there is no inventory/production.yml and no task production",
            "the environments are: demo; `fab --list` shows every task",
        ),
        (
            ["statsu"],
            'there is no inventory/statsu.yml and no task statsu; did you mean "status"?',
            "the environments are: demo; `fab --list` shows every task",
        ),
        (["demo", "deplyo"], 'there is no task deplyo; did you mean "deploy"?', "`fab --list` shows every task"),
        (["demo", "lock.stats"], 'there is no task lock.stats; did you mean "lock.status"?', "`fab --list`"),
        (
            ["demo", "deploy", "--reff", "x"],
            'deploy has no option --reff; did you mean "--ref"?',
            "`fab --help deploy`",
        ),
        (["demo", "deploy", "--skip"], "--skip needs a value", "`fab --help deploy`"),
        (["demo", "restart", "--skip", "--jobs", "2"], "--skip needs a value", "`fab --help deploy`"),
        (["demo", "rpc"], "'rpc' did not receive required positional arguments", "`fab --help rpc` explains rpc"),
        (["--help", "roolback"], 'there is no task roolback; did you mean "rollback"?', "`fab --list`"),
    ],
)
def test_an_unknown_word_is_answered_with_what_there_is(words: list[str], message: str, hint: str) -> None:
    code, out, err = fab(*words)

    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"error: {message}")
    assert second.startswith(f"  hint: {hint}")


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["rpc", "--help"], "Usage: fab ENVIRONMENT rpc [--options] [TASK ...]\n"),
        (["demo", "eval", "-h"], "Usage: fab ENVIRONMENT eval [--options] [TASK ...]\n"),
        (["lab.crash", "--help"], "Usage: fab lab.crash [--options] [TASK ...]\n"),
        (["--help", "stop"], "Usage: fab ENVIRONMENT stop [TASK ...]\n"),
    ],
)
def test_help_is_no_value_of_what_a_task_still_lacks(words: list[str], usage: str) -> None:
    code, out, err = fab(*words)

    assert (code, err) == (0, "")
    assert out.startswith(usage)


def test_what_a_task_does_fits_the_screen() -> None:
    command = f"{Path(sys.executable).parent / 'fab'} --help doctor"
    lines = pexpect.run(command, cwd=str(PROJECT), dimensions=(24, 80)).decode().splitlines()

    assert max(len(line) for line in lines) <= 80
    assert "  Look at everything on every host (as admin), change nothing, and say what to" in lines


def test_fab_alone_tells_the_environments_and_what_to_do_first(tmp_path: Path) -> None:
    code, out, _ = fab()
    assert code == 0
    assert "inventory/demo.yml" in out
    assert "inventory/example.yml" in out
    assert "fab lab.up" in out
    assert max(map(len, out.splitlines())) <= 80

    for name in ("demo", "production"):
        (tmp_path / f"{name}.yml").touch()
    code, out, _ = fab(inventory=tmp_path)
    assert code == 0
    assert f"{tmp_path}/production.yml" in out
    assert out.index("fab production hosts.trust") < out.index("fab production setup") < out.index("production deploy")
    assert "lab.up" not in out


def groups_of(out: str) -> dict[str, list[str]]:
    """The names that `fab --list` shows, by the title of their group."""
    found: dict[str, list[str]] = {}
    for line in out.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line[:-1]] = []
        elif line.startswith("  ") and not line.startswith("   "):
            found[[*found][-1]].append(line.split()[0])
    return found


def test_the_list_begins_with_environments_and_has_each_task_once_in_its_group() -> None:
    code, out, _ = fab("--list")
    found = groups_of(out)

    assert code == 0
    assert [*found] == ["Environments", *GROUPS]
    assert found["Environments"] == ["demo"]
    names = [name for group in found.values() for name in group]
    assert len(names) == len({*names})
    assert all(group == sorted(group) for group in found.values())
    assert {"deploy", "deploy.local", "deploy.local.rollback", "status"} <= set(names)
    assert not {"deploy.deploy", "deploy.local.local"} & set(names)
    assert ".local" in fab("--list", "deploy")[1]


def test_a_task_of_a_persons_own_fabfile_comes_before_warpbeams() -> None:
    found = grouped([("ship", "Ship it."), ("status", "Show it."), ("deploy.deploy (deploy)", "Do it.")])

    assert found == {
        "Your own": [("ship", "Ship it.")],
        "Deploy": [("deploy", "Do it.")],
        "Operate": [("status", "Show it.")],
    }


def test_no_option_is_shown_with_a_type_in_place_of_what_it_takes() -> None:
    shown = "".join(fab("--help", name)[1] for names in groups_of(fab("--list")[1]).values() for name in names)

    assert "--jobs=N" in shown
    assert "--skip=HOST" in shown
    assert "STRING" not in shown
    assert "=INT" not in shown
