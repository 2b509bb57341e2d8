"""A host over SSH: one Fabric connection, opened when it is first needed, as OpenSSH would open it.

Fabric's own way of opening accepts any host key, reads ssh_config in part and shares key lists between hosts; so
everything it needs is given to it ready-made: the socket, the settings of `ssh -G`, a transport, a policy.
"""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import random
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import fabric
import paramiko

from warpbeam.error import Problem, Refused
from warpbeam.inventory import Host, Ssh
from warpbeam.shell import Heard
from warpbeam.ssh import hostkeys
from warpbeam.ssh.attempt import Attempt, Cut, ProxyCommand, dial
from warpbeam.ssh.authentication import Keys
from warpbeam.ssh.channel import Process
from warpbeam.ssh.refusal import refusal
from warpbeam.ssh.ssh_config import Settings, resolve
from warpbeam.ssh.transport import Transport

# Seconds before a host is tried again whose server hung up without a greeting: sshd does so at random while more than
# ten are not yet logged in (MaxStartups, sshd_config(5)); behind a jump host all the others are at its door.
PAUSES = (0.3, 0.6, 1.2, 2.4)


class _HungUp(Exception):
    """The server ended the connection before it said what it is."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def connect(host: Host, user: str | None, ssh: Ssh, environment: str = "ENV") -> Connection:
    """The connection to a host of the inventory, as `user` (None: whoever ssh logs in as).

    Nothing is asked or opened yet: both happen at its first use, so that they do for all hosts at once.
    """
    return Connection(
        host.name,
        lambda: resolve(
            host.name, host.address or host.name, ssh=ssh, user=user, port=host.port, environment=environment
        ),
    )


def openssh_argv(connection: Connection, command: Sequence[str], tty: bool) -> list[str]:
    """The `ssh` command line that is equal to a connection; `command` runs on the host, each word as it is.

    `tty` asks for a terminal there. An empty `command` opens a login shell.
    """
    settings = connection.settings
    words = ["ssh", "-tt" if tty else "-T", *settings.options, "--", settings.destination]
    return [*words, shlex.join(command)] if command else words


class Strict(paramiko.MissingHostKeyPolicy):
    """Judges every host key by known_hosts: the client has no keys of its own, so Paramiko asks here each time."""

    def __init__(self, settings: Settings, known: Sequence[hostkeys.Known], answered: Callable[[], None]) -> None:
        self.settings, self.known, self.answered = settings, known, answered

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        self.answered()
        shown = hostkeys.HostKey(key.get_name(), key.asbytes())
        hostkeys.check(self.settings, shown, self.known)


class Connection:
    """A `warpbeam.shell.Shell` over SSH. Several threads may use it at once."""

    def __init__(self, name: str, ask: Callable[[], Settings]) -> None:
        self.name = name
        self._ask = ask
        self._asking = threading.Lock()
        self._settings: Settings | None = None
        self._fabric: fabric.Connection | None = None
        self._hop: Connection | None = None
        self._proxy: ProxyCommand | None = None
        self._opening = threading.RLock()
        self._guard = threading.Lock()
        self._attempt: Attempt | None = None
        self._endings: set[Callable[[], None]] = set()

    @property
    def settings(self) -> Settings:
        """How OpenSSH would connect. Raises: Refused, where it rejects its configuration for this host."""
        # Not functools.cached_property: up to Python 3.11 its one lock makes all hosts wait for each (bpo-43468).
        with self._asking:
            if self._settings is None:
                self._settings = self._ask()
            return self._settings

    @property
    def fabric(self) -> fabric.Connection:
        """The open Fabric connection. Raises: Refused, where the host cannot be reached."""
        self._transport()
        assert self._fabric is not None  # noqa: S101  (opened by the line above)
        return self._fabric

    def open(self) -> None:
        """See `warpbeam.shell.Shell.open`."""
        self._transport()

    @property
    def busy(self) -> bool:
        """See `warpbeam.shell.Shell.busy`."""
        return self._attempt is not None or bool(self._endings)

    def execute(self, command: str, chunks: Iterable[bytes], heard: Heard, complained: Heard) -> int:
        """See `warpbeam.shell.Shell.execute`."""
        process = Process(self.settings.label)
        with self.ending(process.interrupt):
            return process.run(self._session(), command, chunks, heard, complained)

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While this lasts, an interrupt of the connection calls `end` as well."""
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
        with self._opening:
            self._close_own()
            if self._hop is not None:
                self._hop.close()

    def _close_own(self) -> None:
        """Close it as far as it was opened, but not its hop."""
        with self._opening:
            if self._fabric is not None:
                # Not Fabric's own close: it leaves a connection open that broke while it was being opened.
                client: Any = self._fabric.client
                client.close()
                self._fabric = None
            if self._proxy is not None:
                self._proxy.close()
                self._proxy = None

    def reach(self, attempt: Attempt) -> Any:
        """A socket to the host's SSH server: direct, by ProxyCommand, or a channel of the jump host.

        Raises:
            Refused: it cannot be reached.
            Cut: the attempt's time is over, or it was interrupted.
        """
        settings = self.settings
        if (jump := settings.jump) is not None:
            self._hop = self._hop or Connection(jump.name, lambda: jump)
            transport = self._hop._transport(attempt)
            try:
                channel = transport.open_channel(
                    "direct-tcpip",
                    (settings.hostname, settings.port),
                    ("127.0.0.1", 0),
                    timeout=attempt.left(),
                )
            except (paramiko.SSHException, EOFError) as error:
                attempt.left()
                because = error.args[-1] if error.args else "no reason given"
                raise Refused(
                    f"{settings.label}: its jump host {self._hop.settings.label} cannot reach it: {because}",
                    "is the host up, and its address right as seen from there?",
                ) from error
            attempt.guard(channel.close)
            return channel
        if settings.proxy_command is not None:
            self._proxy = ProxyCommand(settings.proxy_command, attempt)
            return self._proxy.socket
        return dial(settings.hostname, settings.port, settings.family, attempt)

    def _session(self) -> paramiko.Channel:
        """A new session channel; over a new connection when the former one has gone unnoticed meanwhile."""
        for again in (True, False):
            transport = self._transport()
            try:
                channel: paramiko.Channel = transport.open_session(timeout=self.settings.timeout)
            except paramiko.ChannelException as error:
                hint = "sshd's MaxSessions bounds the commands that one connection runs at a time"
                raise Refused(f"{self.settings.label} opens no session: {error.text}", hint) from error
            except (paramiko.SSHException, EOFError, OSError) as error:
                self.close()
                if not again:
                    raise Refused(f"{self.settings.label} opens no session: {error}") from error
            else:
                return channel
        raise AssertionError("unreachable")

    def _transport(self, attempt: Attempt | None = None) -> Transport:
        """The open transport, opened now if need be: as a hop, within the time of its goal's attempt."""
        with self._opening:
            if self._fabric is not None and self._fabric.is_connected:
                return opened_transport(self._fabric)
            self.close()
            own = attempt or Attempt(self.settings.timeout)
            with self._guard:
                self._attempt = own
            try:
                # A hop that answers says nothing of the host behind it, whose time goes on.
                return self._open(own, own.untime if attempt is None else lambda: None)
            except BaseException:
                self.close()
                raise
            finally:
                with self._guard:
                    self._attempt = None
                if attempt is None:
                    own.settle()

    def _open(self, attempt: Attempt, answered: Callable[[], None]) -> Transport:
        """Open it, again where the host's server hung up without a greeting: it may be asked by too many at once."""
        for pause in (*PAUSES, None):
            try:
                return self._open_once(attempt, answered)
            except _HungUp as hung_up:
                self._close_own()
                if pause is None:
                    raise hung_up.problem from None
                try:
                    # Jitter, so that those who were turned away do not come back together.
                    attempt.rest(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
                except Cut as cut:
                    raise refusal(self.settings, cut, attempt) from None
        raise AssertionError("unreachable")

    def _open_once(self, attempt: Attempt, answered: Callable[[], None]) -> Transport:
        settings = self.settings
        known, keys = hostkeys.known_keys(settings), Keys(settings)
        made: list[Transport] = []

        def transport_factory(sock: Any, **others: Any) -> Transport:
            made.append(transport := Transport(sock, **others))
            able = transport.get_security_options().key_types
            transport.prefer_host_keys(hostkeys.preferred_types(known, settings.host_key_types, able))
            transport.bound(handshake=attempt.left(), channel=settings.timeout)
            return transport

        try:
            opened = self.reach(attempt)
            left = attempt.left()
            self._fabric = fabric.Connection(
                host=settings.hostname,
                user=settings.user,
                port=settings.port,
                # Nothing of ~/.fabric.yaml or Paramiko's ssh_config: `ssh -G` has read the latter already.
                config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
                gateway=False,
                forward_agent=False,
                connect_kwargs={
                    "sock": opened,
                    "timeout": left,
                    "banner_timeout": left,
                    "auth_timeout": max(settings.timeout, 1),
                    "transport_factory": transport_factory,
                    "auth_strategy": keys,
                },
            )
            client: Any = self._fabric.client
            client.set_missing_host_key_policy(Strict(settings, known, answered))
            self._fabric.open()
        except Problem:
            raise
        except Exception as error:  # whatever Paramiko meets there, a person is told in words
            problem = refusal(settings, error, attempt, keys, self._proxy)
            if self._proxy is None and not attempt.cause and any(not transport.greeted for transport in made):
                raise _HungUp(problem) from error
            raise problem from error
        transport = opened_transport(self._fabric)
        transport.stay_alive(settings.alive_interval, settings.alive_count)
        return transport


def opened_transport(opened: fabric.Connection) -> Transport:
    """The transport of a Fabric connection that `_open` opened: of our making."""
    transport: Any = opened.transport
    assert isinstance(transport, Transport)  # noqa: S101  (what `transport_factory` returned)
    return transport
