"""Cancelling an activation: only the one that is named is asked to stop."""

from __future__ import annotations

import subprocess
from pathlib import Path

from warpbeam.deploy.cancel import Cancel
from warpbeam.host.script import PACKAGE, with_contained

OURS, OTHER = "ab12", "cd34"
# The job of the host ends when it is asked to, and leaves its result.
JOB = f"""activating() {{
  [[ -e $root/running ]] || return 1
  [[ ! -e $root/activation/cancel ]] ||
    {{ write_result "$root/activation/result" {OURS} 'interrupted' '""' failed '{{}}'; rm "$root/running"; }}
}}"""


def cancelled(root: Path, running: str) -> subprocess.CompletedProcess[str]:
    """Cancel the activation OURS on a host where the activation `running` runs; empty: none."""
    (root / "activation").mkdir()
    if running:
        (root / "running").touch()
        (root / "activation" / "pending").write_text(f"{running}\n12\ndone\nwhat\tdeploy\n")
    parts = "; ".join(f". {PACKAGE}/{part}.sh" for part in with_contained(Cancel.parts))
    text = f"root={root} app=x job_id={OURS}; {parts}; {JOB}\n. {PACKAGE}/{Cancel.script}.sh"
    return subprocess.run(["bash", "-c", text], check=False, capture_output=True, text=True, timeout=60)


def test_an_activation_is_asked_to_stop_and_its_ending_is_answered(tmp_path: Path) -> None:
    done = cancelled(tmp_path, OURS)

    assert '"answer":{"failed":{}}' in done.stdout
    assert not (tmp_path / "running").exists()


def test_another_activation_is_not_asked_to_stop(tmp_path: Path) -> None:
    done = cancelled(tmp_path, OTHER)

    assert "that activation did not begin" in done.stdout
    assert not (tmp_path / "activation" / "cancel").exists()
    assert (tmp_path / "running").exists()


def test_where_no_activation_runs_and_none_left_a_result_that_is_refused(tmp_path: Path) -> None:
    assert "that activation did not begin" in cancelled(tmp_path, "").stdout
