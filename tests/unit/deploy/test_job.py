"""The job of an activation, run here with stand-ins for the privileged helper, systemd and ss: its effects in order."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpbeam.deploy.activate import JOBS
from warpbeam.deploy.strategy import STRATEGIES
from warpbeam.host.script import PACKAGE, text_of
from warpbeam.inventory.schema import Deploy

APP = "warpbeam-unit-test"
OLD, NEW = "20261123T120001Z", "20261123T120002Z"

# The privileged helper: notes each verb with what is on the disk by then. `fault` is what happens meanwhile.
SUDO = f"""#!/bin/bash
cd -- "$there"
begin() {{ [[ -e pid.$1 ]] || {{ sleep 300 >/dev/null 2>&1 & echo $! >pid.$1; }}; }}
end() {{ if [[ -e pid.$1 ]]; then kill -9 "$(<pid.$1)"; rm pid.$1; fi; }}
case $4 in
  well)
    [[ $fault != unhealthy || ! -e pid.b ]] || {{ echo false; exit 1; }}
    echo true ;;
  logs) echo 'the app says why' ;;
  serve)
    while read -r verb; do
      slot='' state=''
      if [[ $verb != reconcile ]]; then read -r slot; fi
      new=b
      if [[ $(readlink slots/a) == */{NEW} ]]; then new=a; fi
      if [[ -L slots/$new ]]; then state+=' linked'; fi
      if [[ -e releases/{NEW}/.warpbeam/was_live ]]; then state+=' marked'; fi
      if [[ -e releases/{NEW}/.warpbeam/failed ]]; then state+=' failed'; fi
      if [[ $(readlink current) == slots/$new ]]; then state+=' live'; fi
      echo "$verb${{slot:+ $slot}}:$state" >>trace
      case $fault:$verb:$slot:$state in
        death:drain:a:*live) end b ;;
        patience:drain:a:*) touch activation/cancel ;;
        early-death:drain:a:*) end b ;;
      esac
      case $verb in
        start) begin "$slot" ;;
        stop | abandon) end "$slot" ;;
        switch) echo 'maintenance on' ;;
      esac
      echo '= 0'
    done ;;
esac
"""
SYSTEMCTL = """#!/bin/bash
slot=${!#} slot=${slot%.service}
cat -- "$there/pid.${slot##*@}" 2>/dev/null || echo 0
"""
SS = """#!/bin/bash
if [[ $2 == state && $fault == death ]]; then echo 'a client'; fi
"""
SYNC = """#!/bin/bash
[[ $fault != bad-disk || $(readlink "$there/current") != slots/b || $1 != -f ]]
"""

UNDONE = ["abandon b: linked", "undrain a: failed", "start a: failed", "reconcile: failed"]
LET_BE = ["abandon b: linked", "undrain a:", "start a:", "reconcile:"]
LIVE = "linked marked live"
FIRST = ["start a: linked", "switch a: linked", f"switch a: {LIVE}"]
WENT_LIVE = ["start b: linked", "switch b: linked", f"switch b: {LIVE}"]
# For each strategy and fault: the effects, how the job ends, and what it says.
CASES: dict[tuple[str, str], tuple[list[str], str, str]] = {
    ("restart", ""): (["stop a: linked", *WENT_LIVE], "done", ""),
    ("restart", "first"): (FIRST, "done", ""),
    ("restart", "cancelled"): (LET_BE, "interrupted", f"{OLD} is serving again, healthy"),
    ("restart", "unhealthy"): (
        ["stop a: linked", "start b: linked", *UNDONE],
        "failed",
        f"{OLD} is serving again, healthy",
    ),
    ("restart", "patience"): (["drain a: linked", *LET_BE], "interrupted", "it was asked to stop"),
    ("restart", "bad-disk"): (["stop a: linked", "start b: linked", "switch b: linked"], "done", ""),
    ("blue-green", ""): ([*WENT_LIVE, f"drain a: {LIVE}", f"stop a: {LIVE}"], "done", ""),
    ("blue-green", "first"): (FIRST, "done", ""),
    ("blue-green", "cancelled"): (["switch a: linked", *LET_BE], "interrupted", f"{OLD} is serving as before"),
    ("blue-green", "unhealthy"): (
        ["start b: linked", "switch a: linked", *UNDONE],
        "failed",
        f"{OLD} is serving as before, healthy",
    ),
    ("blue-green", "patience"): (
        ["start b: linked", "drain a: linked", "switch a: linked", *LET_BE],
        "interrupted",
        "it was asked to stop",
    ),
    ("blue-green", "early-death"): (
        ["start b: linked", "drain a: linked", "switch a: linked", *UNDONE],
        "failed",
        "it ended by itself",
    ),
    ("blue-green", "death"): (
        [*WENT_LIVE, f"drain a: {LIVE}", f"undrain a: {LIVE}", f"switch a: {LIVE}", "switch a: linked", *UNDONE],
        "failed",
        f"it ended by itself soon after it had become live; the old release {OLD} is serving again, healthy",
    ),
    ("blue-green", "bad-disk"): (["start b: linked", "switch b: linked"], "done", ""),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An app's directory with two releases; the programs in `bin` stand in for others. Nothing runs at the end."""
    for release in (OLD, NEW):
        (tmp_path / "releases" / release / ".warpbeam").mkdir(parents=True)
    (tmp_path / "slots").mkdir()
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "pending").write_text('ab12\n7\ndone\nwhat:\t"deploy"\n')
    (tmp_path / "bin").mkdir()
    for name, text in (("sudo", SUDO), ("systemctl", SYSTEMCTL), ("ss", SS), ("sync", SYNC)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    yield tmp_path
    for file in tmp_path.glob("pid.?"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def run_job(place: Path, strategy: str, fault: str) -> None:
    """Run the job of `strategy` in `place`; `fault` happens to it."""
    job = JOBS[strategy](
        root=str(place),
        app=APP,
        app_user="root",
        helper="the-helper",
        ports=(1, 2),
        health_path="/",
        health_status=200,
        health_rpc="healthy?",
        health_pauses=(0.05,),
        health_timeout=10,
        health_deadline=0 if fault == "unhealthy" else 20,
        health_settle=0,
        release=NEW,
        drain=20,
        balancer_drain=20 if fault in {"patience", "early-death"} else 0,
        withdraw=False,
        job_id="ab12",
        publics=(3,),
    )
    text = text_of(job).replace("export PATH=", f"export PATH={place}/bin:")
    env = {**os.environ, "there": str(place), "fault": fault}
    subprocess.run(["bash", "-c", text], env=env, timeout=60, check=False, capture_output=True)


@pytest.mark.parametrize(("strategy", "fault"), CASES)
def test_a_job_has_its_effects_in_the_order_that_keeps_the_app_serving(place: Path, strategy: str, fault: str) -> None:
    (place / "slots" / "a").symlink_to(f"../releases/{OLD}")
    if fault == "cancelled":
        (place / "activation" / "cancel").touch()
    with subprocess.Popen(["sleep", "300"]) as old:
        if fault != "first":
            (place / "current").symlink_to("slots/a")
            (place / "pid.a").write_text(str(old.pid))
        run_job(place, strategy, fault)
        if (pid := place / "pid.a").exists() and pid.read_text() == str(old.pid):
            pid.unlink()
        old.kill()
    effects, outcome, problem = CASES[strategy, fault]

    assert [line.rstrip() for line in (place / "trace").read_text().splitlines()] == effects
    result = (place / "activation" / "result").read_text().splitlines()
    assert (result[0], result[1], result[3]) == ("ab12", outcome, "answer" if outcome == "done" else "failed")
    assert problem in result[2]
    assert f'"job":"ab12","outcome":"{outcome}"' in (place / "history.jsonl").read_text()
    new = "a" if fault == "first" else "b"
    assert str((place / "current").readlink()) == (f"slots/{new}" if outcome == "done" else "slots/a")


def script_of(strategy: str) -> str:
    return (PACKAGE / f"{JOBS[strategy].parts[-1]}.sh").read_text()


def test_each_strategy_of_the_inventory_has_a_job() -> None:
    names = set(typing.get_args(typing.get_type_hints(Deploy)["strategy"]))

    assert set(STRATEGIES) == set(JOBS) == names


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_strategy_needs_is_what_its_steps_do(strategy: str) -> None:
    steps = script_of(strategy)

    assert STRATEGIES[strategy].free_slot == ("\n  take_slot\n" in steps)
    assert STRATEGIES[strategy].second_instance == (steps.index("  start_new") < steps.index("  stop_old"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_undo_of_a_strategy_is_a_function_of_its_job(strategy: str) -> None:
    sent = "\n".join((PACKAGE / f"{part}.sh").read_text() for part in JOBS[strategy].parts)

    undo = {name for names in re.findall(r"undo=\((.*)\)", script_of(strategy)) for name in names.split()}

    assert undo
    assert undo <= set(re.findall(r"^([a-z_]+)\(\)", sent, re.MULTILINE))
