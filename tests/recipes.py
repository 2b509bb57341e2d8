"""The recipes of examples/ci, as their servers read them: what each job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CI = Path(__file__).parents[1] / "examples" / "ci"


def commands_of(name: str, job: str) -> str:
    """The commands of a job as one script for bash, without those that install Warpbeam."""
    recipe: dict[Any, Any] = yaml.safe_load((CI / name).read_text())
    if name == "gitlab.yml":
        return "\n".join(recipe[job]["script"])
    steps = recipe["jobs"][job]["steps"]
    return "\n".join(step["run"].rstrip() for step in steps if "run" in step and not step["run"].startswith("pip "))
