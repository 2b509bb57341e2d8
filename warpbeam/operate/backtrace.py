"""The error that a node prints for a failed expression, without the frames of the machinery that evaluated it."""

from __future__ import annotations

import re
from collections.abc import Callable

# A frame is `    (APP VSN) FILE:LINE: FUNCTION` (Exception.format_stacktrace_entry/1). `rpc` and `eval` reach the
# expression through Code.eval_string/1, which interprets it; none of these frames is in a person's own code.
MACHINERY = re.compile(
    rb" {4}\((?:stdlib|elixir|kernel)[^)]*\) "
    rb"(?:erl_eval\.erl|proc_lib\.erl|lib/code\.ex|lib/kernel/cli\.ex|src/elixir\w*\.erl|elixir\w*\.erl):"
)

# Bytes of the longest line that is held back until it is whole.
LONGEST_LINE = 1 << 16


class Backtrace:
    """A filter that takes a node's output in pieces and shows whole lines, except those of the machinery."""

    def __init__(self, show: Callable[[bytes], object]) -> None:
        self._show = show
        self._rest = b""

    def __call__(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._pass_on(line + b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._pass_on(self._rest)
            self._rest = b""

    def end(self) -> None:
        """Show the last line if it has no line end."""
        if self._rest:
            self._pass_on(self._rest)
        self._rest = b""

    def _pass_on(self, line: bytes) -> None:
        if not MACHINERY.match(line):
            self._show(line)
