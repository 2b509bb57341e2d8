"""Output of a login's startup files, before the script that we sent begins, or in its place."""

from __future__ import annotations

from warpbeam.bound import Allowance
from warpbeam.error import Refused
from warpbeam.shell import OnBytes, Shell

# The record that `render` puts before the script: the script begins.
BEGUN = b'\x1e{"begun":true}\n'
# Bytes that a login may print before that record, and bytes of them that are kept to show.
MOST_NOISE = 1 << 20
KEPT_NOISE = 4096
# First bytes of what was sent that are compared with a login's output: all scripts, settings and secrets, and only the
# first pieces of an upload.
MOST_ECHOED = 1 << 18
# Exit statuses of a login that did not run the script (`phase.READER`, `phase.render`).
TAKEN = {
    95: "its standard output is a file or a device",
    96: "something read from its standard input before",
    97: "something read from its standard input before, and another shell took its place",
}


class Beginning:
    """The point in a host's output at which the script begins; the login's output before it is `noise`.

    Parameters:
        on_stdout: receives the output after that point only.
    """

    def __init__(self, on_stdout: OnBytes = lambda piece: None) -> None:
        self._heard = on_stdout
        self._left = Allowance(MOST_NOISE, "before anything was run there")
        self._before = bytearray()
        self.found = False

    def __call__(self, piece: bytes) -> None:
        """Take a piece of output. Raises: Breach, where a login prints too much before the script."""
        if self.found:
            self._heard(piece)
            return
        self._before += piece
        noise, mark, rest = self._before.partition(BEGUN)
        if mark:
            self.found = True
            self._before = noise
            if rest:
                self._heard(bytes(rest))
            return
        # Keep the first bytes, to show them, and the last, which may hold the beginning of the mark.
        del self._before[KEPT_NOISE : max(KEPT_NOISE, len(self._before) - len(BEGUN))]
        self._left.take(len(piece))

    def noise(self, sent: bytes) -> tuple[str, ...]:
        """Return the login's output as far as it is kept, without echoed lines of `sent`, which may hold secrets."""
        lines = bytes(self._before[:KEPT_NOISE]).splitlines()
        return tuple(line.decode("utf-8", "replace")[:500] for line in lines if line.strip() and line not in sent)[:10]


def not_begun(shell: Shell, status: int, said: tuple[str, ...]) -> Refused:
    """Return the error for a login that did not run what was sent.

    Parameters:
        said: the lines that it printed instead.
    """
    why = f": {TAKEN[status]}" if status in TAKEN else ""
    return Refused(
        f"the login did not run what was sent (status {status}){why}; nothing was done",
        "its startup files (such as ~/.bashrc, or what sshd and PAM run) must leave a command alone: look there for "
        "exit, exec, read, cat or a trap, and in /etc/passwd for its shell"
        + ("; what it said is above" if said else ""),
        said,
        host=shell.name,
    )
