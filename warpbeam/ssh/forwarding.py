"""Agent forwarding: the programs of a host may use the keys of this machine's ssh agent while a command runs there.

Root of that host may use the keys meanwhile too, so nothing but a connection that is made for it forwards the agent.
"""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Any

import paramiko

PIECE = 1 << 15
# Programs of a host that use the agent at once. More are hung up on.
MOST = 16


class Forwarding:
    """The forwarding of one agent, by its socket, over one connection."""

    def __init__(self, agent: Path) -> None:
        self._agent = agent
        self._room = threading.BoundedSemaphore(MOST)

    def ask(self, session: paramiko.Channel) -> None:
        """Ask the host to offer the agent to the command of `session`. A host that does not allow it says nothing."""
        session.request_forward_agent(self._answer)

    def _answer(self, channel: paramiko.Channel) -> None:
        """Serve a program of the host that has opened `channel`; called in the connection's own thread."""
        threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _serve(self, channel: paramiko.Channel) -> None:
        if not self._room.acquire(blocking=False):
            channel.close()
            return
        try:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                _join(channel, self._agent)
        finally:
            self._room.release()
            channel.close()


def _join(channel: paramiko.Channel, path: Path) -> None:
    """Pass bytes between a channel and the agent, until one of them ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.connect(str(path))
        # Not select(2), which knows no descriptor above 1023.
        waiting = select.poll()
        others: dict[int, tuple[Any, Any]] = {channel.fileno(): (channel, agent), agent.fileno(): (agent, channel)}
        for number in others:
            waiting.register(number, select.POLLIN)
        while True:
            for number, _ in waiting.poll():
                end, other = others[number]
                piece = end.recv(PIECE)
                if not piece:
                    return
                other.sendall(piece)
