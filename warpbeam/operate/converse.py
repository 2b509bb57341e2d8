"""A conversation with the privileged helper of a host: a verb gets a text, and what it prints is passed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from warpbeam.bound import Breach
from warpbeam.error import Refused
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import ADMIN_VERBS, helper
from warpbeam.host.login_output import Beginning, not_begun
from warpbeam.host.phase import Phase
from warpbeam.host.script import READER, render
from warpbeam.inventory.schema import Host


class CallHelper(Phase[None], frozen=True, kw_only=True):
    """Run a verb of the helper whose answer is text; the head of `warpbeam/operate/converse.sh` explains its fields."""

    script: ClassVar[str] = "operate/converse"
    parts: ClassVar[tuple[str, ...]] = ()
    helper: str
    verb: str
    input: str


def call_helper(
    fleet: Fleet,
    host: Host,
    verb: str,
    text: str,
    on_stdout: Callable[[bytes], None],
    on_stderr: Callable[[bytes], None],
    *,
    follow: bool = False,
) -> int:
    """Give `text` to a verb of the privileged helper, pass on what it prints, and return its exit status.

    Raises: Refused, where the login did not run the script.
    """
    phase = CallHelper(helper=helper(fleet.inventory), verb=f"{verb}-follow" if follow else verb, input=text)
    # With admission, the deploy key must not evaluate anything.
    shell = fleet.root_shell(host) if fleet.inventory.admits and verb in ADMIN_VERBS else fleet.shell(host)
    sent = render(phase)
    # The login's own output is no part of the answer.
    beginning = Beginning(on_stdout)
    try:
        status = shell.execute(READER, _kept_open(sent, follow), beginning, on_stderr)
    except Breach as breach:
        if beginning.found:
            raise
        raise Refused(f"{breach}; it was ended", "nothing was done there", host=host.name) from None
    if not beginning.found:
        raise not_begun(shell, status, beginning.noise(sent))
    return status


def _kept_open(script: bytes, follow: bool) -> Iterator[bytes]:
    """Yield the script; with `follow`, then wait for as long as this process lives, so that the host sees its end."""
    yield script
    if follow:
        import threading

        threading.Event().wait()
