"""An admin's shell, as root."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from warpbeam.error import Misuse
from warpbeam.limit import Breach, sized
from warpbeam.shell import OnBytes, Shell

# Constant, and the command follows, so that nothing is quoted: root's own login needs no sudo.
AS_ROOT = """sh -c 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi' sh"""
# -k: always ask, so that the first line is never taken for the script; sudo reads it a byte at a time.
AS_ROOT_ASKED = (
    """sh -c 'if [ "$(id -u)" = 0 ]; then read -r _; exec bash -c "$0" "$@"; else"""
    """ LC_ALL=C exec sudo -k -S -p "" -- bash -c "$0" "$@"; fi' 'printf "\\036ready\\n"; exec "$@"' bash"""
)
# What root's bash says first. Only then it is sent the script: a sudo that does not take the password would read two
# more from it, and an account is soon locked (pam_faillock(8)).
READY = b"\x1eready\n"
# What sudo says of a wrong password before it asks again (sudoers(5), badpass_message).
WRONG = b"Sorry, try again."
# So many bytes may come before root's bash is there, and so many seconds pass.
MOST_BEFORE = 64 * 1024
BECOMES_WITHIN = 60.0


class RootShell:
    """A `Shell` whose commands, each a program with its arguments, are root's.

    Parameters:
        shell: the admin's connection.
        password: for an admin whose sudo asks for one, sent on standard input; or empty.
    """

    def __init__(self, shell: Shell, password: str) -> None:
        self._shell = shell
        self._password = password

    @property
    def name(self) -> str:
        """The host's inventory name."""
        return self._shell.name

    def open(self) -> None:
        """See `Shell.open`."""
        self._shell.open()

    @property
    def busy(self) -> bool:
        """See `Shell.busy`."""
        return self._shell.busy

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """As `Shell.execute`. Raises also: Misuse, where sudo wants a password that it did not get."""
        # What sudo itself says comes first.
        complaints = bytearray()
        # Set when root's bash is there, or will not be.
        judged = threading.Event()
        before = bytearray()
        ready = not self._password

        def hear(piece: bytes) -> None:
            nonlocal ready
            if ready:
                on_stdout(piece)
                return
            before.extend(piece)
            if len(before) > MOST_BEFORE:
                raise Breach(f"sent more than {sized(MOST_BEFORE)} before it became root")
            if READY in before:
                ready = True
                judged.set()
                on_stdout(bytes(before.replace(READY, b"", 1)))

        def complain(piece: bytes) -> None:
            complaints.extend(piece[: MOST_BEFORE - len(complaints)])
            if not ready and WRONG in complaints:
                judged.set()
            on_stderr(piece)

        def feed() -> Iterator[bytes]:
            if self._password:
                yield self._password.encode() + b"\n"
                judged.wait(BECOMES_WITHIN)
            if ready:
                yield from chunks

        command = f"{AS_ROOT_ASKED if self._password else AS_ROOT} {command}"
        try:
            status = self._shell.execute(command, feed(), hear, complain)
        finally:
            judged.set()
        said = complaints.decode("utf-8", "replace")
        if not ready and WRONG.decode() in said:
            raise Misuse("sudo does not take that password", "give it again; it was tried once", host=self.name)
        # It has no prefix for whom a rule forbids it (`NOPASSWD: !ALL`, as the deploy user's does).
        if status == 1 and said.startswith(("sudo:", "Sorry, user ")):
            wants = "password is required" in said
            raise Misuse(
                f"the admin may not become root: {said.strip().splitlines()[0].removeprefix('sudo: ')}",
                "give --prompt-for-sudo-password"
                if wants
                else "see users.admin in the inventory, and the host's sudoers",
                host=self.name,
            )
        return status

    def interrupt(self) -> None:
        """See `Shell.interrupt`."""
        self._shell.interrupt()

    def close(self) -> None:
        """See `Shell.close`."""
        self._shell.close()
