"""An admin's shell, as root."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from warpbeam.bound import Breach, sized
from warpbeam.error import Misuse
from warpbeam.shell import OnBytes, Shell

# Constant text before the command, so that nothing needs quoting. A login as root needs no sudo.
AS_ROOT = """sh -c 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi' sh"""
# -k: sudo always asks, so that the password line never becomes part of the script. sudo reads that line a byte at a
# time, so it takes nothing of what follows.
AS_ROOT_ASKED = (
    """sh -c 'if [ "$(id -u)" = 0 ]; then read -r _; exec bash -c "$0" "$@"; else"""
    """ LC_ALL=C exec sudo -k -S -p "" -- bash -c "$0" "$@"; fi' 'printf "\\036ready\\n"; exec "$@"' bash"""
)
# The first output of root's bash. The script is sent only after it: a sudo that rejects the password would read two
# more attempts from the script, and pam_faillock(8) soon locks an account.
READY = b"\x1eready\n"
# The message of sudo about a wrong password, before it asks again (sudoers(5), badpass_message).
WRONG = b"Sorry, try again."
# Bytes that may come, and seconds that may pass, before root's bash is ready.
MOST_BEFORE = 64 * 1024
BECOMES_WITHIN = 60.0


class RootShell:
    """A `Shell` that runs commands, each a program with its arguments, as root.

    Parameters:
        shell: the admin's connection.
        password: sent on standard input for an admin whose sudo asks for one; or empty.
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
        """See `Shell.execute`. Raises also: Misuse, where sudo refuses, wants a password, or rejects the one given."""
        # Standard error begins with the messages of sudo itself.
        complaints = bytearray()
        # Set when root's bash is ready, or when sudo has rejected the password.
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
        # sudo's message has no prefix for a user whom a rule forbids everything (`NOPASSWD: !ALL`, the deploy user's).
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
