"""The namespace that `fab` loads."""

import os
from pathlib import Path

from tasks import assemble

_project = Path(__file__).resolve().parent
namespace = assemble(
    project=_project,
    # For those who keep their inventories in a repository of their own.
    inventory=Path(os.environ.get("WARPBEAM_INVENTORY") or _project / "inventory"),
)
