"""The size of a lab host's disk, which one place says."""

from __future__ import annotations

import inspect

import tasks.lab
from warpbeam.lab.disk import OPT_SIZE


def test_the_task_says_by_default_the_size_that_a_lab_has() -> None:
    # A task imports nothing of warpbeam at load time, so the number stands there once more.
    assert inspect.signature(tasks.lab.up.body).parameters["opt_size"].default == OPT_SIZE
