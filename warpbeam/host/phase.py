"""A phase: a part of a task that runs on a host as one script in one exec request.

A phase's fields are its script's parameters, and `answer` is the type of its answer. `script.py` makes the text that a
host gets, `run.py` runs it and reads the records that come back (`record.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from warpbeam.bound import LONGEST_RECORD

A = TypeVar("A")


class Phase(msgspec.Struct, Generic[A], frozen=True):
    """The parameters of one script. Subclasses name the script and the type of its answer.

    Strings, numbers and booleans become plain assignments (`true` and `false` for booleans, an empty string for
    None), tuples become arrays. Each script reads them under the names of the fields.
    """

    script: ClassVar[str]
    answer: ClassVar[Any]
    # Shared parts that are sent before the script.
    parts: ClassVar[tuple[str, ...]] = ("host/common",)

    @staticmethod
    def sift(said: Any) -> list[str]:
        """Replace, in an answer, what may be wrong without blocking the host; return a sentence about each."""
        return []

    # Bytes that the answer, or any other record, may have.
    longest: ClassVar[int] = LONGEST_RECORD

    @property
    def looks(self) -> bool:
        """Whether the phase changes nothing, so that it has a time limit and may run again."""
        return False

    @property
    def more_seconds(self) -> float | None:
        """Seconds that the phase may take beyond `ssh: answer_timeout`; None: only a phase that looks has a limit."""
        return None


class Done(msgspec.Struct, frozen=True):
    """The answer of a phase that has nothing to report."""

    done: bool


def script_name(phase: Phase[Any] | type[Phase[Any]]) -> str:
    """Return what messages call the phase: the name of its script, such as `claim`."""
    return phase.script.rpartition("/")[2].replace("_", " ")
