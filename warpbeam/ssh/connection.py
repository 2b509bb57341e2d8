"""A host over SSH: one connection, opened at its first use, and the commands that run over it."""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import paramiko

from warpbeam.error import Refused
from warpbeam.inventory.schema import Host, Ssh
from warpbeam.shell import OnBytes
from warpbeam.ssh.attempt import Attempt
from warpbeam.ssh.channel import Process
from warpbeam.ssh.forwarding import Forwarding
from warpbeam.ssh.opening import Opening
from warpbeam.ssh.ssh_config import Settings, resolve
from warpbeam.ssh.transport import Transport


def connect(
    host: Host, user: str | None, ssh: Ssh, environment: str = "ENV", *, forward_agent: bool = False
) -> Connection:
    """Return the connection to a host of the inventory, as `user` (None: the user of the ssh configuration).

    `ssh -G` runs and the connection opens at the first use, so that both happen for all hosts at once.

    Parameters:
        forward_agent: the commands there may use the keys of this machine's ssh agent.
    """
    return Connection(
        host.name,
        lambda: resolve(
            host.name, host.address or host.name, ssh=ssh, user=user, port=host.port, environment=environment
        ),
        forward_agent=forward_agent,
    )


def openssh_argv(connection: Connection, command: Sequence[str], tty: bool) -> list[str]:
    """Return the `ssh` command line that equals a connection; `command` runs on the host, each word unchanged.

    `tty` asks for a terminal there. An empty `command` opens a login shell.
    """
    settings = connection.settings
    words = ["ssh", "-tt" if tty else "-T", *settings.options, "--", settings.destination]
    return [*words, shlex.join(command)] if command else words


class Connection:
    """A `warpbeam.shell.Shell` over SSH. Several threads may use it at once."""

    def __init__(self, name: str, ask: Callable[[], Settings], *, forward_agent: bool = False) -> None:
        self.name = name
        self._ask = ask
        self._forward_agent = forward_agent
        self._asking = threading.Lock()
        self._settings: Settings | None = None
        self._opening: Opening | None = None
        self._hop: Connection | None = None
        # Held while the connection is opened or closed.
        self._lock = threading.RLock()
        self._guard = threading.Lock()
        self._attempt: Attempt | None = None
        self._endings: set[Callable[[], None]] = set()

    @property
    def settings(self) -> Settings:
        """The settings with which OpenSSH would connect. Raises: Refused, where OpenSSH rejects its configuration."""
        # Not functools.cached_property: up to Python 3.11 its one lock serializes all hosts (bpo-43468).
        with self._asking:
            if self._settings is None:
                self._settings = self._ask()
            return self._settings

    @property
    def opening(self) -> Opening:
        """The opening of this connection. Raises: Refused, where OpenSSH rejects its configuration."""
        with self._lock:
            if self._opening is None:
                self._opening = Opening(self.settings, self._open_hop)
            return self._opening

    def open(self) -> None:
        """See `warpbeam.shell.Shell.open`."""
        self._transport()

    @property
    def busy(self) -> bool:
        """See `warpbeam.shell.Shell.busy`."""
        return self._attempt is not None or bool(self._endings)

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """See `warpbeam.shell.Shell.execute`."""
        process = Process(self.settings.name, self.settings.label)
        with self.ending(process.interrupt):
            return process.run(self._session(), command, chunks, on_stdout, on_stderr)

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Have an interrupt of the connection call `end` too, inside this context."""
        with self._guard:
            self._endings.add(end)
        try:
            yield
        finally:
            with self._guard:
                self._endings.discard(end)

    def interrupt(self) -> None:
        """See `warpbeam.shell.Shell.interrupt`."""
        with self._guard:
            endings, attempt = list(self._endings), self._attempt
        for end in endings:
            end()
        if attempt is not None:
            attempt.cut("interrupt")

    def close(self) -> None:
        """See `warpbeam.shell.Shell.close`."""
        with self._lock:
            if self._opening is not None:
                self._opening.close()
            if self._hop is not None:
                self._hop.close()

    def _session(self) -> paramiko.Channel:
        """Return a new session channel, over a new connection when the former one has ended unnoticed."""
        for again in (True, False):
            transport = self._transport()
            try:
                channel: paramiko.Channel = transport.open_session(timeout=self.settings.timeout)
            except paramiko.ChannelException as error:
                hint = "sshd's MaxSessions bounds the commands that one connection runs at a time"
                raise Refused(
                    f"opens no session: {error.text}", hint, host=self.settings.name, place=self.settings.label
                ) from error
            except (paramiko.SSHException, EOFError, OSError) as error:
                self.close()
                if not again:
                    raise Refused(
                        f"opens no session: {error}", host=self.settings.name, place=self.settings.label
                    ) from error
            else:
                if self._forward_agent:
                    self._forwarding().ask(channel)
                return channel
        raise AssertionError("unreachable")

    def _forwarding(self) -> Forwarding:
        """Return the forwarding of this machine's agent. Raises: Refused, where there is none."""
        if self.settings.agent is None:
            raise Refused(
                "there is no ssh agent on this machine that could be forwarded",
                "start one and `ssh-add` a key, or remove build.forward_agent",
                host=self.settings.name,
                place=self.settings.label,
            )
        return Forwarding(self.settings.agent)

    def _transport(self, attempt: Attempt | None = None) -> Transport:
        """Return the transport, opened now if it is not open; a hop uses the `attempt` of the host behind it."""
        with self._lock:
            opening = self.opening
            if (transport := opening.transport) is not None:
                return transport
            self.close()
            own = attempt or Attempt(self.settings.timeout)
            with self._guard:
                self._attempt = own
            try:
                # A hop that answers does not end the time limit of the host behind it.
                return opening.open(own, own.cancel_timer if attempt is None else lambda: None)
            except BaseException:
                self.close()
                raise
            finally:
                with self._guard:
                    self._attempt = None
                if attempt is None:
                    own.settle()

    def _open_hop(self, jump: Settings, attempt: Attempt) -> Transport:
        self._hop = self._hop or Connection(jump.name, lambda: jump)
        return self._hop._transport(attempt)
