"""History entries on the host's side: begun before an activation, completed once, whatever wrote them."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from warpbeam.cli.table import table_lines
from warpbeam.deploy.history import ACTION_PARTS, Entry, fields_of, rows_for_people
from warpbeam.deploy.lock import PARTS
from warpbeam.host.script import PACKAGE, with_contained

WHO = 'Zoë "the\\cat"\tof\nmany lines'
KNOWN = {"at": "2026-11-23T12:00:00Z", "what": "deploy", "dirty": False, "who": WHO, "warpbeam": "0.2.0"}
JOB = "ab12"
# The entry that an activation by Warpbeam before 0.2 left on a host.
FORMER = f"{JOB}\n12\ndone\n" + json.dumps(KNOWN, separators=(",", ":"), ensure_ascii=False)
BEGIN = f"begin_entry {JOB} 12 'done' {' '.join(map(shlex.quote, fields_of(KNOWN)))}"


def lines_after(root: Path, script: str) -> list[str]:
    """Return the lines of the history after a script that has the shared parts, on a host where no job runs."""
    (root / "activation").mkdir(exist_ok=True)
    (root / "activation" / "log").touch()
    parts = "; ".join(f". {PACKAGE}/{part}.sh" for part in with_contained((*PARTS, *ACTION_PARTS)))
    text = f"root={root} app=x token=t entry=(x); {parts}; activating() {{ return 1; }}; {script}"
    subprocess.run(["bash", "-c", text], check=True, capture_output=True, text=True)
    file = root / "history.jsonl"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("former", [False, True], ids=["this version", "the version before"])
def test_an_entry_that_was_begun_is_completed_from_the_result_once(tmp_path: Path, former: bool) -> None:
    (tmp_path / "activation").mkdir()
    if former:
        (tmp_path / "activation" / "pending").write_text(FORMER + "\n")
    begin = ":" if former else BEGIN
    result = f"""write_result "$root/activation/result" {JOB} 'brought back' '"it \\"fell\\""' failed '{{}}'"""

    lines = lines_after(tmp_path, f"{begin}; {result}; settle; settle")

    entry = {**KNOWN, "job": JOB, "outcome": "brought back", "seconds": 1.2, "problem": 'it "fell"'}
    assert lines == [json.dumps(entry, separators=(",", ":"), ensure_ascii=False)]
    assert not (tmp_path / "activation" / "pending").exists()


def test_an_entry_without_a_result_of_its_own_job_is_completed_as_unknown(tmp_path: Path) -> None:
    other = """write_result "$root/activation/result" cd34 'done' '""' answer '{}'"""

    (line,) = lines_after(tmp_path, f"{BEGIN}; {other}; settle")

    assert json.loads(line)["outcome"] == "unknown"
    assert json.loads(line)["who"] == WHO


@pytest.mark.parametrize(
    "pending",
    [
        FORMER[:-1],
        f"{JOB}\n12\ndone\n",
        f"{JOB}\n12\ndone\nat:\n",
        # To read it takes a time that grows with the square of its length.
        pytest.param(f"{JOB}\n12\ndone\n" + "{" + ",".join(['"a":x'] * 2000) + "}\n", id="long"),
        f"{JOB}\n12\ndone\n" + "\t".join(fields_of(KNOWN)),
        f"{JOB}\nx[0]\ndone\n" + "\t".join(fields_of(KNOWN)) + "\n",
    ],
)
def test_a_pending_entry_that_was_cut_short_or_is_not_ours_is_dropped(tmp_path: Path, pending: str) -> None:
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "pending").write_text(pending)

    assert lines_after(tmp_path, "settle") == []
    assert not (tmp_path / "activation" / "pending").exists()


def test_an_action_is_noted_with_what_is_live_and_how_it_ended(tmp_path: Path) -> None:
    entry = " ".join(map(shlex.quote, fields_of({"at": KNOWN["at"], "what": "stop", "who": WHO})))

    (line,) = lines_after(tmp_path, f"entry=({entry}); live_release=20261123T120000Z; note_action failed 'no \"luck\"'")

    noted = json.loads(line)
    assert list(noted) == ["at", "what", "who", "outcome", "release", "problem", "seconds"]
    assert (noted["who"], noted["outcome"], noted["problem"]) == (WHO, "failed", 'no "luck"')


def test_fields_of_an_entry_have_no_tab_which_separates_them() -> None:
    fields = fields_of(dict.fromkeys(Entry.__struct_fields__, WHO))

    assert not [field for field in fields if "\t" in field or "\n" in field]


def test_the_reason_of_a_freeze_is_under_its_row_and_breaks_no_row_of_a_screen() -> None:
    well = {"at": "2026-11-23T12:00:00Z", "host": "web1", "what": "deploy", "outcome": "done"}
    rest = {"release": "20261123T120000Z", "seconds": 1.5, "warpbeam": "0.2.0"}
    reason = "the quarter's end: accounts are closed until Monday, ask Ann"
    frozen = {**well, "what": f"lock.acquire: {reason}", **rest}
    lines = [*table_lines(rows_for_people([well | rest, frozen, frozen | {"problem": "lost"}]), 90)]

    assert len(lines) == 6
    assert lines[2].split()[2:4] == ["lock.acquire", "done"]
    assert lines[3] == f"  ^ {reason}"
    assert lines[5] == f"  ^ {reason}; lost"
    assert "0.2.0" not in "".join(lines)
