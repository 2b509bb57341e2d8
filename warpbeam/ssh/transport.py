"""Paramiko's transport with features of OpenSSH: no Nagle, answered keep-alives, exit by signal, bounded input.

Paramiko 5 has none of them; `warpbeam.ssh.channel` and `warpbeam.ssh.opening` rely on them.
"""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Sequence
from typing import Any

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
)
from paramiko.packet import Packetizer

# Paramiko logs tracebacks of its threads; without a handler, logging prints them on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Bytes. OpenSSH accepts packets of 256 KiB (packet.c, PACKET_MAX_SIZE) and greeting lines of 8 KiB (kex.c).
MOST_PACKET = 1 << 19
MOST_GREETING = 1 << 16
# Unread bytes that a channel holds at most: twice the window that Paramiko grants, which a server might ignore.
MOST_UNREAD = 1 << 22
SIGNAL_BASE = 128  # a shell's status for an end by signal N is 128 + N


class Prompt(Packetizer):
    """A packetizer that acknowledges input at once. Without a terminal, sshd leaves Nagle's algorithm on: it holds its
    second small packet back until our delayed ACK, 40 ms before the first command."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        tcp = isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6)
        self._tcp = sock if tcp and hasattr(socket, "TCP_QUICKACK") else None

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read `n` bytes; refuse a length that no server sends: it is read before the packet is authenticated."""
        if n > MOST_PACKET:
            raise paramiko.SSHException(f"the server sends a packet of {n} bytes")
        data: bytes = super().read_all(n, check_rekey)
        return data

    def readline(self, timeout: float) -> str:
        """Return a line of the server's greeting, of bounded length; Paramiko itself has no bound."""
        self._greeting = 0
        line: str = super().readline(timeout)
        return line

    def _read_timeout(self, timeout: float) -> bytes:
        piece: bytes = super()._read_timeout(timeout)
        self._greeting += len(piece)
        if self._greeting > MOST_GREETING:
            raise paramiko.SSHException("the server greets without an end")
        return piece

    def read_message(self) -> tuple[int, paramiko.Message]:
        message: tuple[int, paramiko.Message] = super().read_message()
        if self._tcp is not None:
            with contextlib.suppress(OSError):
                # Linux soon resets the option (tcp(7)), so set it again each time.
                self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return message


class Transport(paramiko.Transport):
    """One SSH connection's protocol engine."""

    # Fastest first: AES-GCM needs no separate MAC pass (measured in docs/connections.md).
    _preferred_ciphers: tuple[str, ...] = (  # type: ignore[assignment]
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )

    def __init__(self, sock: Any, **others: Any) -> None:
        if isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6):
            # A request is two small packets, which Nagle's algorithm and a delayed ACK would stretch to 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, packetizer_class=Prompt, **others)
        self._unanswered = 0

    @property
    def greeted(self) -> bool:
        """Whether the server has sent its greeting."""
        return bool(self.remote_version)

    def prefer_host_keys(self, types: Sequence[str]) -> None:
        """Ask the host for these types of key, in this order."""
        self.get_security_options().key_types = tuple(types)

    def bound(self, *, handshake: float, channel: float | None = None) -> None:
        """Set time limits, in seconds: for the greeting and for the key exchange, and for opening a channel."""
        self.banner_timeout = self.handshake_timeout = handshake  # type: ignore[assignment]
        if channel is not None:
            self.channel_timeout = channel  # type: ignore[assignment]

    def stay_alive(self, interval: int, count: int) -> None:
        """End the connection when the host has not answered `count` requests, `interval` seconds apart.

        Paramiko's own keep-alive asks for no answer, so it never notices that a host is gone.
        """

        def ask() -> None:
            if self._unanswered >= count:
                raise paramiko.SSHException(f"no sign of life for {interval * count} s")
            self._unanswered += 1
            question = paramiko.Message()
            question.add_byte(cMSG_GLOBAL_REQUEST)
            question.add_string("keepalive@openssh.com")
            question.add_boolean(True)
            self._send_user_message(question)

        self.packetizer.set_keepalive(interval, ask)
        if isinstance(self.sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A thread that blocks in writing to a dead host holds the lock that `ask` needs, so the kernel must end it.
            with contextlib.suppress(OSError):
                limit = interval * count * 1000
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)

    def _parse_request_success(self, m: paramiko.Message) -> None:
        self._unanswered = 0
        super()._parse_request_success(m)

    def _parse_request_failure(self, m: paramiko.Message) -> None:
        # A host answers so to a request that it does not know: it is alive.
        self._unanswered = 0
        super()._parse_request_failure(m)

    def _feed(channel: Any, m: paramiko.Message) -> None:
        """Take standard output, only within the window granted to the server; Paramiko itself has no bound."""
        channel._feed(m)
        if len(channel.in_buffer) > MOST_UNREAD:
            raise paramiko.SSHException("the server sends more than its window lets it")

    def _feed_extended(channel: Any, m: paramiko.Message) -> None:
        """Take standard error, bounded like standard output in `_feed`."""
        channel._feed_extended(m)
        if len(channel.in_stderr_buffer) > MOST_UNREAD:
            raise paramiko.SSHException("the server sends more than its window lets it")

    def _hear_request(channel: Any, m: paramiko.Message) -> None:
        """Handle `exit-signal`, which Paramiko drops, and wake the reader of the exit status (RFC 4254, 6.10)."""
        start = m.packet.tell()
        if m.get_text() == "exit-signal":
            m.get_boolean()
            name = m.get_text()
            number = signal.Signals.__members__.get(f"SIG{name}", signal.SIGKILL)
            channel.exit_status = SIGNAL_BASE + number
            channel.status_event.set()
        else:
            m.packet.seek(start)
            channel._handle_request(m)
        ring = getattr(channel, "ring", None)
        if ring is not None:
            ring()

    _channel_handler_table = {  # noqa: RUF012  (Paramiko's own shape)
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_DATA: _feed,
        MSG_CHANNEL_EXTENDED_DATA: _feed_extended,
        MSG_CHANNEL_REQUEST: _hear_request,
    }


def send_request(channel: Any, kind: str, text: str, *, answer: bool) -> None:
    """Send a channel request with one string (`exec`, `signal`); do not wait for its answer."""
    request = paramiko.Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string(kind)
    request.add_boolean(answer)
    request.add_string(text)
    channel.transport._send_user_message(request)
