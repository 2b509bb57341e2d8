"""The cost of starting `fab`."""

from __future__ import annotations

import os
import subprocess
import sys

MISSING = """
import sys
from pathlib import Path
sys.dont_write_bytecode = True
import fabric.main, jinja2, msgspec, yaml, rich.table
loaded = [module for module in sys.modules.values() if getattr(module, "__cached__", None)]
print(len(loaded))
print(*(module.__name__ for module in loaded if not Path(module.__cached__).exists()))
"""


def test_nothing_that_fab_loads_has_to_be_compiled_at_each_start() -> None:
    # Not where the tests keep compiled modules for their run (tests/conftest.py): where the installation put them.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    asked = [sys.executable, "-c", MISSING]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, env=environ).stdout

    loaded, missing = said.split("\n", 1)
    assert int(loaded) > 200
    assert missing.split() == []
