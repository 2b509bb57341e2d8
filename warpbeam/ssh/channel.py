"""One command on a host, over a channel of a connection: its start, input, output, interruption and end.

Fabric's own runner sends standard input a byte at a time and polls. Here a phase's script is one message, its answer
another, and threads wait on events.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paramiko

from warpbeam.error import Lost, Refused
from warpbeam.shell import GRACE, OnBytes
from warpbeam.ssh.pace import PATIENCE, Pace
from warpbeam.ssh.transport import send_request

PIECE = 1 << 20  # read at most this much at once, in bytes
# Seconds for which output may stay open and silent after the command has ended: a process that it left holds it open.
LEFT_OPEN = 10.0

# A command that ends the other commands of this connection. Each leads a process group and is a child of the sshd that
# is also the parent of this command (session.c, do_exec_no_pty). sshd's "signal" request (RFC 4254, 6.9) is enough for
# plain users only: it does nothing for root, and sudo passes the signal to its command alone, whose children go on.
# Only older commands: one that began after the interrupt must go on. /proc lists children in the order of their birth
# (the kernel adds each to the tail); process numbers do not give it, because they start again after pid_max. `exec` and
# `sh`: the login shell may be any.
END_OTHERS = (
    "exec sh -c 'for p in $(cat /proc/$PPID/task/$PPID/children); do"
    ' [ "$p" = $$ ] && break; [ -O "/proc/$p" ] || sudo -n kill -TERM -- "-$p"; kill -TERM "-$p";'
    " done' 2>/dev/null"
)


class Bell:
    """An event that both pipes of a channel set and neither can clear, as Paramiko's shared event could be."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Do nothing: Paramiko calls this when one pipe is empty, but the other may have data."""

    def wait(self, seconds: float | None) -> bool:
        """Wait for the event and clear it; return False when it did not come in time."""
        rung = self._event.wait(seconds)
        self._event.clear()
        return rung


class Process:
    """A command that runs on the host of that inventory name; `place` names the host in messages."""

    def __init__(self, host: str, place: str) -> None:
        self.host = host
        self.place = place
        self.interrupted = False
        self._channel: paramiko.Channel | None = None
        self._bell = Bell()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._given_up = False
        self._terminating: threading.Thread | None = None
        self._feed_error: BaseException | None = None

    def run(
        self,
        channel: paramiko.Channel,
        command: str,
        chunks: Iterable[bytes],
        on_stdout: OnBytes,
        on_stderr: OnBytes,
    ) -> int:
        """Run a command like `warpbeam.shell.Shell.execute`, on an open channel, which is closed at the end."""
        channel.in_buffer.set_event(self._bell)
        channel.in_stderr_buffer.set_event(self._bell)
        channel.ring = self._bell.set  # type: ignore[attr-defined]  # called by warpbeam.ssh.transport
        with self._lock:
            self._channel = None if self.interrupted else channel
        if self._channel is None:
            _aside(channel.close)
            raise Refused("interrupted before it began", host=self.host, place=self.place)
        try:
            # Do not wait for the answer: the script may follow as soon as the server grants a window.
            try:
                send_request(channel, "exec", command, answer=True)
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._lost(error) from None
            threading.Thread(target=self._feed, args=(channel, chunks), daemon=True).start()
            self._listen(channel, on_stdout, on_stderr)
        except BaseException:
            # Ctrl-C or an error of a callback must not leave the command running.
            self.interrupt()
            self._listen(channel, _ignore, _ignore)
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._given_up:
                _aside(channel.close)
            else:
                channel.close()
                if self._terminating is not None:
                    # The request that ends this command must not reach the next one.
                    self._terminating.join(GRACE)
        if self._feed_error is not None:
            raise self._feed_error
        return self._status(channel)

    def interrupt(self) -> None:
        """Ask the host, from any thread, to end the command; give it up when it has not ended in `GRACE` seconds."""
        with self._lock:
            if self.interrupted:
                return
            self.interrupted = True
            channel = self._channel
            if channel is None:
                return
            self._timer = threading.Timer(GRACE, self._give_up)
            self._timer.daemon = True
            self._timer.start()
        self._terminating = _aside(lambda: self._terminate(channel))

    def _terminate(self, channel: paramiko.Channel) -> None:
        """End the command's process group, also processes of other users."""
        transport: Any = channel.transport
        try:
            other = transport.open_session(timeout=GRACE)
        except paramiko.SSHException:
            send_request(channel, "signal", "TERM", answer=False)  # sshd allows no further session
            return
        with other:
            other.exec_command(END_OTHERS)
            other.status_event.wait(GRACE)

    def _give_up(self) -> None:
        self._given_up = True
        self._bell.set()

    def _feed(self, channel: paramiko.Channel, chunks: Iterable[bytes]) -> None:
        """Send standard input, then its end; in a thread of its own, because the window may be closed for long."""
        pace = Pace()
        try:
            for chunk in chunks:
                if not self._send(channel, memoryview(chunk), pace):
                    return
        except BaseException as error:  # raised again in the calling thread
            # Send no end of file: half a body must not look like a whole one.
            self._feed_error = error
            self.interrupt()
        else:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.shutdown_write()

    def _send(self, channel: paramiko.Channel, rest: memoryview, pace: Pace) -> bool:
        """Send one chunk; return False when nobody reads it, which the exit status or its absence will explain."""
        while rest:
            self._await_room(channel, pace)
            if self.interrupted:
                return False
            began = time.monotonic()
            try:
                # Not `Channel.sendall`: it copies the rest for each packet, which is quadratic for a large chunk.
                sent = channel.send(bytes(rest[: channel.out_max_packet_size]))
            except (OSError, EOFError, paramiko.SSHException):
                return False
            if sent == 0:
                return False
            pace.sent(sent, began)
            rest = rest[sent:]
        return not self.interrupted

    def _await_room(self, channel: paramiko.Channel, pace: Pace) -> None:
        """Wait until `pace` allows more to be sent, or sending has ended."""
        open_: Any = channel
        with open_.lock:
            while not (self.interrupted or open_.closed) and pace.full(open_.out_window_size, time.monotonic()):
                # Paramiko notifies at a larger window, and at the end.
                if not open_.out_buffer_cv.wait(PATIENCE):
                    pace.stalled()

    def _listen(self, channel: paramiko.Channel, on_stdout: OnBytes, on_stderr: OnBytes) -> None:
        """Pass output on until both streams have ended and the exit status has come, or nothing more can come."""
        while not self._given_up:
            idle = True
            while channel.recv_ready():
                on_stdout(channel.recv(PIECE))
                idle = False
            while channel.recv_stderr_ready():
                on_stderr(channel.recv_stderr(PIECE))
                idle = False
            ended = channel.status_event.is_set()
            if channel.closed or (ended and channel.eof_received):
                if idle:
                    return
            elif not self._bell.wait(LEFT_OPEN if ended else None):
                return

    def _status(self, channel: paramiko.Channel) -> int:
        if channel.exit_status >= 0:
            # A server may send any 32 bits, and our own exit status keeps the last eight: 256 would mean success.
            return min(int(channel.exit_status), 255)
        if self.interrupted:
            raise Lost(
                f"interrupted, but the command did not end within {GRACE:g} s",
                "it may still be running there",
                host=self.host,
                place=self.place,
            )
        transport: Any = channel.transport
        if not channel.event_ready and transport.active:
            raise Refused("its SSH server does not let this user run commands", host=self.host, place=self.place)
        raise self._lost(transport.get_exception())

    def _lost(self, cause: BaseException | None) -> Lost:
        because = f" ({cause})" if cause is not None and str(cause) else ""
        return Lost(
            f"the connection ended in the middle{because}",
            "what ran there, and how far, is unknown",
            host=self.host,
            place=self.place,
        )


def _ignore(_: bytes) -> None:
    """Drop output that nobody waits for any more."""


def _aside(send: Callable[[], object]) -> threading.Thread:
    """Send something in a thread, because a thread that sends to a host that is gone may block."""

    def attempt() -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            send()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    return thread
