"""What a login says and does before the script that was sent to it begins, or in place of it."""

from __future__ import annotations

from warpbeam.error import Refused
from warpbeam.limit import Allowance
from warpbeam.shell import OnBytes, Shell

# What is said before the script begins.
BEGUN = b'\x1e{"begun":true}\n'
# What a login says by itself: so much may come before that, and so much is kept to show.
MOST_NOISE = 1 << 20
KEPT_NOISE = 4096
# Of what was sent so much is compared with what comes back, in bytes: all scripts, settings and secrets, and of an
# upload's pieces no more.
MOST_ECHOED = 1 << 18
# Shells that got what was sent in place of bash end with one of these (`render`).
TAKEN = {
    95: "its standard output is a file or a device",
    96: "something read from its standard input before",
    97: "something read from its standard input before, and another shell took its place",
}


class Beginning:
    """Finds where the script begins in what a host says; what its login said before is `noise`.

    Parameters:
        heard: gets what comes after it, and nothing before.
    """

    def __init__(self, on_stdout: OnBytes = lambda piece: None) -> None:
        self._heard = on_stdout
        self._left = Allowance(MOST_NOISE, "before anything was run there")
        self._before = bytearray()
        self.found = False

    def __call__(self, piece: bytes) -> None:
        """Take a piece. Raises: Breach, where too much comes before."""
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
        # The first of it stays, and the last, in which the mark may have begun.
        del self._before[KEPT_NOISE : max(KEPT_NOISE, len(self._before) - len(BEGUN))]
        self._left.take(len(piece))

    def noise(self, sent: bytes) -> tuple[str, ...]:
        """What a login said, as far as it is kept, less what it gave back of `sent`: that may hold secrets."""
        lines = bytes(self._before[:KEPT_NOISE]).splitlines()
        return tuple(line.decode("utf-8", "replace")[:500] for line in lines if line.strip() and line not in sent)[:10]


def not_begun(shell: Shell, status: int, said: tuple[str, ...]) -> Refused:
    """The error for a login that did not run what was sent.

    Parameters:
        said: what came instead, in lines.
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
