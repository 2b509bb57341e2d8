"""The text of a problem, as the last lines on the screen: details, message, hint; and that of a fault of our own."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
from collections.abc import Callable

from warpbeam.cli.screen import folded, print_lines, room_on, unpadded
from warpbeam.error import Failed, Problem


def print_errors(*lines: str) -> None:
    """Print lines on standard error; ignore that nobody reads them."""
    with contextlib.suppress(OSError):
        print_lines(sys.stderr, *lines)


def problem_lines(problem: Problem, room: int, addressed: Callable[[str], str] = str) -> list[str]:
    """Return a problem as lines of at most `room` columns (0: unfolded).

    Parameters:
        addressed: puts the environment's name into a message.
    """
    lines = [unpadded(f"  | {line}", room) for line in problem.details]
    lines += folded(addressed(f"error: {problem.message}"), room).split("\n")
    if problem.hint:
        lines += folded(addressed(f"  hint: {problem.hint}"), room, "    ").split("\n")
    return lines


def print_problem(problem: Problem, addressed: Callable[[str], str], *, debug: bool) -> None:
    """Print a problem on standard error; for `fab -d` after its traceback."""
    if debug:
        print_errors(*_traceback(problem))
    print_errors(*problem_lines(problem, room_on(sys.stderr), addressed))


def full_disk(bug: Exception) -> Failed | None:
    """Return an error of a full disk of this machine as a problem; None for any other error."""
    if not isinstance(bug, OSError) or bug.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    import tempfile

    where = f" for {bug.filename}" if isinstance(bug.filename, str) else ""
    return Failed(
        f"this machine's disk has no room left{where}",
        f"make room where `fab` runs: below .warpbeam, and in {tempfile.gettempdir()} (TMPDIR); then run it again",
    )


def print_bug(bug: Exception, *, debug: bool) -> None:
    """Print the type and place of a fault in Warpbeam; for `fab -d` after its traceback."""
    if debug:
        print_errors(*_traceback(bug))
    # An exception's text may hold a command or a value; its type and place do not.
    place = traceback.extract_tb(bug.__traceback__)[-1]
    print_errors(
        f"error: a fault in Warpbeam itself: {type(bug).__name__} at {place.filename}:{place.lineno}",
        "  hint: `fab -d` shows the traceback; it may hold values of your configuration",
    )


def _traceback(error: Exception) -> list[str]:
    return [f"  | {line}" for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n")]
