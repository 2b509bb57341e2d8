"""One command on a host, over a channel of a connection: started, fed, heard, interrupted, ended.

Fabric's own runner sends standard input a byte at a time and polls; a phase's script is one message here, its
answer another, and everybody waits on events (docs/architecture.md has the figures).
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
# How long output may stay open and silent after the command has ended: something that it left behind holds it.
LEFT_OPEN = 10.0

# Ends the other commands of this connection: each is the leader of a process group, and a child of the sshd that is
# our parent too (session.c, do_exec_no_pty). sshd's own "signal" request (RFC 4254, 6.9) would do for plain users only:
# it does nothing for root, and sudo passes the signal to its command alone, whose children would go on.
# Elder ones only: a command that began after the interrupt is not meant. /proc lists children as they were born (the
# kernel adds each to the tail), which their numbers do not say: those begin again after pid_max. `exec` and `sh`: the
# login shell may be any.
END_OTHERS = (
    "exec sh -c 'for p in $(cat /proc/$PPID/task/$PPID/children); do"
    ' [ "$p" = $$ ] && break; [ -O "/proc/$p" ] || sudo -n kill -TERM -- "-$p"; kill -TERM "-$p";'
    " done' 2>/dev/null"
)


class Bell:
    """The event that both of a channel's pipes ring; neither may silence it, as one event of theirs would."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Paramiko calls this when one pipe is empty: the other may not be."""

    def wait(self, seconds: float | None) -> bool:
        """Wait for a ring and take it; False when none came in time."""
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
        """As `warpbeam.shell.Shell.execute`, on an open channel, which is closed in the end."""
        channel.in_buffer.set_event(self._bell)
        channel.in_stderr_buffer.set_event(self._bell)
        channel.ring = self._bell.set  # type: ignore[attr-defined]  # heard by warpbeam.ssh.transport
        with self._lock:
            self._channel = None if self.interrupted else channel
        if self._channel is None:
            _aside(channel.close)
            raise Refused("interrupted before it began", host=self.host, place=self.place)
        try:
            # Its answer is not waited for: the script may follow at once, as soon as there is a window.
            try:
                send_request(channel, "exec", command, answer=True)
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._lost(error) from None
            threading.Thread(target=self._feed, args=(channel, chunks), daemon=True).start()
            self._listen(channel, on_stdout, on_stderr)
        except BaseException:
            # Whatever stopped us (Ctrl-C, a callback) must not leave the command running.
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
                    # What is on its way to end this command must not meet the next one.
                    self._terminating.join(GRACE)
        if self._feed_error is not None:
            raise self._feed_error
        return self._status(channel)

    def interrupt(self) -> None:
        """From any thread: ask the host to end the command, and give it up when it has not in `GRACE`."""
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
        """End the command's process group, whoever its processes belong to."""
        transport: Any = channel.transport
        try:
            other = transport.open_session(timeout=GRACE)
        except paramiko.SSHException:
            send_request(channel, "signal", "TERM", answer=False)  # no further session is allowed: the next best
            return
        with other:
            other.exec_command(END_OTHERS)
            other.status_event.wait(GRACE)

    def _give_up(self) -> None:
        self._given_up = True
        self._bell.set()

    def _feed(self, channel: paramiko.Channel, chunks: Iterable[bytes]) -> None:
        """Send standard input, then its end. Runs in a thread of its own: the window may be shut for long."""
        pace = Pace()
        try:
            for chunk in chunks:
                if not self._send(channel, memoryview(chunk), pace):
                    return
        except BaseException as error:  # it goes on in the calling thread
            # No end of file: half a body must not look like a whole one.
            self._feed_error = error
            self.interrupt()
        else:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.shutdown_write()

    def _send(self, channel: paramiko.Channel, rest: memoryview, pace: Pace) -> bool:
        """Send one chunk; False when nobody reads any more, which the exit status or its absence will explain."""
        while rest:
            self._await_room(channel, pace)
            if self.interrupted:
                return False
            began = time.monotonic()
            try:
                # `Channel.sendall` copies the rest for each packet: quadratic for a large chunk.
                sent = channel.send(bytes(rest[: channel.out_max_packet_size]))
            except (OSError, EOFError, paramiko.SSHException):
                return False
            if sent == 0:
                return False
            pace.sent(sent, began)
            rest = rest[sent:]
        return not self.interrupted

    def _await_room(self, channel: paramiko.Channel, pace: Pace) -> None:
        """Wait until `pace` lets more be sent, or no more is to be."""
        open_: Any = channel
        with open_.lock:
            while not (self.interrupted or open_.closed) and pace.full(open_.out_window_size, time.monotonic()):
                # Notified of a larger window, and of the end.
                if not open_.out_buffer_cv.wait(PATIENCE):
                    pace.stalled()

    def _listen(self, channel: paramiko.Channel, on_stdout: OnBytes, on_stderr: OnBytes) -> None:
        """Pass on output until both streams have ended and the exit status is there, or nothing more can come."""
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
            # A server may say any 32 bits, and our own exit status has the last eight of them: 256 would be success.
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
    """Send something that must not make us wait: a thread may be stuck in sending to a host that is gone."""

    def attempt() -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            send()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    return thread
