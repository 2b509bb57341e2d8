"""The program of a bundle, with phases of the test's own in place of those that deploy."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.background import eventually
from tests.timeouts import LONG
from warpbeam.host.script import text_of
from warpbeam.integrate.phases import Hook

ANSWER = """printf '\\036{"answer":{"going":"20261123T120000Z","upload":true,"activate":true,"why":"deploy"}}\\n'"""
SAYS_MUCH = """printf '\\036{"failed":{"message":"m","hint":"","lines":["]","[1,","2] \\\\"]x",","]}}\\n'; exit 4"""
REFUSED = (
    """printf '\\036{"refused":{"message":"no \\\\"room\\\\" here","hint":"make room","lines":["a","b"]}}\\n'; exit 3"""
)


def hook(root: Path, **texts: str) -> Hook:
    """Return the program; each phase notes its name in `root/said`, and answers."""
    (root / "activation").mkdir(parents=True, exist_ok=True)
    names = [name for name in Hook.__struct_fields__ if name.endswith("_text")]
    noted = {name: f"echo {name.removesuffix('_text')} >>{root}/said\n{texts.get(name, ANSWER)}\n" for name in names}
    return Hook(
        root=str(root),
        label="2.0.0 (cccccccc)",
        entry=("version:", '"2.0.0"'),
        digest="0" * 64,
        signature="",
        wait=0,
        lease=90,
        gap=300,
        pause_before=0,
        migrate_group="first",
        **noted,
    )


def begin(program: Hook, event: str, group: str = "") -> subprocess.Popen[str]:
    script = Path(program.root) / "program"
    script.write_text(text_of(program))
    return subprocess.Popen(
        # In place of the files of the bundle.
        ["bash", "-c", 'exec bash -p "$@" 4</dev/null 5</dev/null', "bash", script, event],
        env={**os.environ, "DEPLOYMENT_ID": "d-1", "DEPLOYMENT_GROUP_NAME": group},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(program: Hook, *events: str, group: str = "", expect: int = 0) -> str:
    """Run events; return what the last one says."""
    for event in events:
        process = begin(program, event, group)
        said, _ = process.communicate(timeout=LONG)
    assert process.returncode == expect, said
    return said


def phases(program: Hook) -> list[str]:
    """Return the phases that have run."""
    return (Path(program.root) / "said").read_text().split()


def test_the_events_run_the_phases_of_a_deploy_in_order(tmp_path: Path) -> None:
    program = msgspec.structs.replace(hook(tmp_path), admit_text="")

    run(program, "preflight", "upload", "activate", "validate", group="first")

    order = ["claim", "renew", "upload", "renew", "migrate", "activate", "renew", "serves", "finish"]
    assert phases(program) == order
    assert not (tmp_path / "activation" / "deployment").exists()


@pytest.mark.parametrize("group", ["", "fleet"])
def test_only_the_deployment_group_of_migrations_runs_them(tmp_path: Path, group: str) -> None:
    program = hook(tmp_path)

    run(program, "preflight", "activate", group=group)

    assert "migrate" not in phases(program)
    assert "activate" in phases(program)


def test_a_refusal_is_told_with_its_hint_last_and_gives_the_lock_back(tmp_path: Path) -> None:
    program = hook(tmp_path, upload_text=REFUSED)

    said = run(program, "preflight", "upload", expect=1)

    assert said.splitlines() == ["  a", "  b", 'error: no "room" here', "hint: make room"]
    assert phases(program)[-2:] == ["note", "unlock"]
    assert run(program, "activate", expect=1).startswith("error: the hook BeforeInstall of d-1 has not run")


def test_a_hook_that_is_stopped_stops_its_phase_and_gives_the_lock_back(tmp_path: Path) -> None:
    slow = f"trap 'echo stopped >>{tmp_path}/said; exit 1' TERM; while sleep 0.1; do :; done"
    program = hook(tmp_path, upload_text=slow)
    run(program, "preflight")
    process = begin(program, "upload")
    assert eventually(lambda: phases(program)[-1] == "upload")

    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert phases(program)[-3:] == ["stopped", "note", "unlock"]


def test_a_program_that_fails_by_itself_gives_the_lock_back(tmp_path: Path) -> None:
    program = hook(tmp_path)
    run(program, "preflight")
    # Somebody has changed what is kept between hooks: no number, which arithmetic would evaluate.
    kept = tmp_path / "activation" / "deployment"
    kept.write_text(kept.read_text().replace("began ", "began x."))

    said = run(program, "activate", expect=1)

    assert "the hook ended by a fault of its own" in said
    assert phases(program)[-1] == "unlock"


def test_what_does_not_serve_is_brought_back(tmp_path: Path) -> None:
    there = ANSWER.replace('"why"', '"before":"20261122T120000Z","why"')
    verified = """printf '\\036{"answer":{"digest":"0a","recorded":"","differs":[],"count":0}}\\n'"""
    program = hook(tmp_path, claim_text=there, serves_text=REFUSED, verify_text=verified)

    said = run(program, "preflight", "activate", "validate", expect=1)

    assert "runs 20261122T120000Z again" in said
    assert said.splitlines()[-2:] == ['error: no "room" here', "hint: make room"]
    assert phases(program)[-6:] == ["serves", "serves", "note", "verify", "activate", "finish"]


def test_a_phase_that_ends_after_the_answer_of_a_part_has_not_answered(tmp_path: Path) -> None:
    program = hook(tmp_path, claim_text=f"{ANSWER}; exit 9")

    said = run(program, "preflight", expect=1)

    assert "error: the phase ended without an answer (status 9)" in said
    assert phases(program) == ["claim", "unlock"]


def test_lines_of_a_failure_are_shown_whatever_is_in_them(tmp_path: Path) -> None:
    program = hook(tmp_path, upload_text=SAYS_MUCH)

    said = run(program, "preflight", "upload", expect=1)

    assert said.splitlines() == ["  ]", "  [1,", '  2] "]x', "  ,", "error: m"]


def test_a_long_line_is_cut_and_costs_no_time(tmp_path: Path) -> None:
    long = """printf '\\036{"line":"%s"}\\n' "$(head -c 2000000 /dev/zero | tr '\\0' x)"; """
    program = hook(tmp_path, upload_text=long + ANSWER)

    said = run(program, "preflight", "upload")

    assert said.splitlines()[0].startswith("  xxx") and len(said.splitlines()[0]) < 5000


@pytest.mark.parametrize("word", ["no", "False", "0"])
def test_another_word_for_migrations_is_refused(tmp_path: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARPBEAM_MIGRATE", word)

    assert "expected WARPBEAM_MIGRATE to be true or false" in run(hook(tmp_path), "preflight", expect=1)


def test_a_file_between_hooks_that_was_cut_is_not_taken(tmp_path: Path) -> None:
    program = hook(tmp_path)
    run(program, "preflight")
    kept = tmp_path / "activation" / "deployment"
    kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:4]))

    assert "the hook BeforeInstall of d-1 has not run" in run(program, "activate", expect=1)


def test_a_hook_that_is_stopped_while_it_waits_takes_no_lock(tmp_path: Path) -> None:
    held = REFUSED.replace('"hint"', '"kind":"held","hint"')
    program = msgspec.structs.replace(hook(tmp_path, claim_text=held), wait=600)
    process = begin(program, "preflight")
    assert eventually((Path(program.root) / "said").exists)

    process.send_signal(signal.SIGTERM)

    said, _ = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "it was asked to end while it waited for the lock" in said
