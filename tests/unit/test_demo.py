"""The demo: a user can commit to the app's repository, and `doctor` finds nothing to mend on a lab's hosts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from warpbeam.inventory.read import read_inventory

PROJECT = Path(__file__).parent.parent.parent
# Files that a process may open where a machine has the default of a container; the lab's hosts get no more.
LEAST = 20_000


def test_a_user_without_an_identity_commits_to_the_app_of_the_demo(tmp_path: Path) -> None:
    (function,) = re.findall(r"^new_repository\(\) \{\n.*?^\}\n", (PROJECT / "script/demo").read_text(), re.M | re.S)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    changed = 'new_repository; cd "$app"; echo 1 >file; git add file; git commit -q -m "A change"'
    script = f"set -eu; app={tmp_path}\n{function}\n{changed}; git log --format=%an"

    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout == "Demo\n"


def test_the_app_of_the_demo_asks_for_no_more_files_than_a_lab_has() -> None:
    assert int(read_inventory(PROJECT / "inventory" / "demo.yml").service["LimitNOFILE"]) <= LEAST
