"""An admin's shell, as root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from warpbeam.error import Misuse
from warpbeam.shell import Heard, Shell

# Constant, so that nothing is quoted: root's own login needs no sudo.
AS_ROOT = """sh -c 'if [ "$(id -u)" = 0 ]; then exec bash -s; else exec sudo -n -- bash -s; fi'"""
# -k: always ask, so that the first line is never taken for the script; sudo reads it a byte at a time.
AS_ROOT_ASKED = (
    """sh -c 'if [ "$(id -u)" = 0 ]; then read -r _; exec bash -s; else exec sudo -k -S -p "" -- bash -s; fi'"""
)


class RootShell:
    """A `Shell` whose `bash -s` is root's.

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

    def execute(self, command: str, chunks: Iterable[bytes], heard: Heard, complained: Heard) -> int:
        """As `Shell.execute`. Raises also: Misuse, where sudo wants a password that it did not get."""
        complaints: list[bytes] = []

        def complain(piece: bytes) -> None:
            complaints.append(piece)
            complained(piece)

        command = AS_ROOT_ASKED if self._password else AS_ROOT
        status = self._shell.execute(command, self._with_password(chunks), heard, complain)
        said = b"".join(complaints).decode("utf-8", "replace")
        # It has no prefix for whom a rule forbids it (`NOPASSWD: !ALL`, as the deploy user's does).
        if status == 1 and said.startswith(("sudo:", "Sorry, user ")):
            wants = "password is required" in said
            raise Misuse(
                f"{self.name}: the admin may not become root: {said.strip().splitlines()[0].removeprefix('sudo: ')}",
                "give --prompt-for-sudo-password"
                if wants
                else "see users.admin in the inventory, and the host's sudoers",
            )
        return status

    def _with_password(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        if self._password:
            yield self._password.encode() + b"\n"
        yield from chunks

    def interrupt(self) -> None:
        """See `Shell.interrupt`."""
        self._shell.interrupt()

    def close(self) -> None:
        """See `Shell.close`."""
        self._shell.close()
