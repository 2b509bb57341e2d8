"""Opening a connection: reach the host, check its key, log in; try again where its server hung up without a greeting.

Fabric's own opening accepts any host key, reads ssh_config in part and shares key lists between hosts. So this module
gives it everything ready-made: the socket, the settings of `ssh -G`, a transport, a policy.
"""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import fabric
import paramiko

from warpbeam.error import Problem, Refused
from warpbeam.ssh import hostkeys
from warpbeam.ssh.attempt import Attempt, Cut, ProxyCommand, dial
from warpbeam.ssh.authentication import Keys
from warpbeam.ssh.refusal import refusal
from warpbeam.ssh.ssh_config import Settings
from warpbeam.ssh.transport import Transport

# Seconds before the next try, after a server hung up without a greeting. sshd does so at random while more than ten
# connections are not yet logged in (MaxStartups, sshd_config(5)). When many hosts are behind one jump host, all their
# connections compete there.
PAUSES = (0.3, 0.6, 1.2, 2.4)


class _HungUp(Exception):
    """The server ended the connection before its greeting."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Strict(paramiko.MissingHostKeyPolicy):
    """A policy that checks host keys against known_hosts: the client holds no keys, so Paramiko asks it each time."""

    def __init__(self, settings: Settings, known: Sequence[hostkeys.Known], answered: Callable[[], None]) -> None:
        self.settings, self.known, self.answered = settings, known, answered

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        self.answered()
        shown = hostkeys.HostKey(key.get_name(), key.asbytes())
        hostkeys.check(self.settings, shown, self.known)


class Opening:
    """The opening of the connection to one host, with the parts that are open so far.

    Parameters:
        hop: opens the host's jump host within the attempt.
    """

    def __init__(self, settings: Settings, hop: Callable[[Settings, Attempt], Transport]) -> None:
        self.settings, self.hop = settings, hop
        self.fabric: fabric.Connection | None = None
        self._proxy: ProxyCommand | None = None

    @property
    def transport(self) -> Transport | None:
        """The transport of the open connection; None where the connection is not open or has ended."""
        if self.fabric is None or not self.fabric.is_connected:
            return None
        transport: Any = self.fabric.transport
        assert isinstance(transport, Transport)  # noqa: S101  (what `transport_factory` returned)
        return transport

    def close(self) -> None:
        """Close the connection as far as it was opened."""
        if self.fabric is not None:
            # Not Fabric's own close: it leaves a connection open that broke during its opening.
            client: Any = self.fabric.client
            client.close()
            self.fabric = None
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    def open(self, attempt: Attempt, answered: Callable[[], None]) -> Transport:
        """Open the connection.

        Parameters:
            answered: called when the host has shown its key.

        Raises:
            Refused: the host cannot be reached, its key is not the known one, or it does not let us in.
        """
        for pause in (*PAUSES, None):
            try:
                return self._open_once(attempt, answered)
            except _HungUp as hung_up:
                self.close()
                if pause is None:
                    raise hung_up.problem from None
                try:
                    # Jitter keeps connections that the server rejected together from returning together.
                    attempt.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
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
            self.fabric = fabric.Connection(
                host=settings.hostname,
                user=settings.user,
                port=settings.port,
                # Neither ~/.fabric.yaml nor Paramiko's reading of ssh_config counts: `ssh -G` has read the latter.
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
            client: Any = self.fabric.client
            client.set_missing_host_key_policy(_Strict(settings, known, answered))
            self.fabric.open()
        except Problem:
            raise
        except Exception as error:  # Paramiko raises many kinds; `refusal` words them for the user
            problem = refusal(settings, error, attempt, keys, self._proxy)
            if self._proxy is None and not attempt.cause and any(not transport.greeted for transport in made):
                raise _HungUp(problem) from error
            raise problem from error
        transport = made[-1]
        transport.stay_alive(settings.alive_interval, settings.alive_count)
        return transport

    def reach(self, attempt: Attempt) -> Any:
        """Return a socket to the host's SSH server: direct, by ProxyCommand, or a channel of the jump host.

        Raises:
            Refused: the host cannot be reached.
            Cut: the attempt's time is over, or it was interrupted.
        """
        settings = self.settings
        if settings.jump is not None:
            return self._through(settings.jump, attempt)
        if settings.proxy_command is not None:
            self._proxy = ProxyCommand(settings.proxy_command, attempt)
            return self._proxy.socket
        return dial(settings.hostname, settings.port, settings.family, attempt)

    def _through(self, jump: Settings, attempt: Attempt) -> paramiko.Channel:
        settings, transport = self.settings, self.hop(jump, attempt)
        try:
            channel: paramiko.Channel = transport.open_channel(
                "direct-tcpip",
                (settings.hostname, settings.port),
                ("127.0.0.1", 0),
                timeout=attempt.left(),
            )
        except (paramiko.SSHException, EOFError) as error:
            attempt.left()
            because = error.args[-1] if error.args else "no reason given"
            raise Refused(
                f"its jump host {jump.label} cannot reach it: {because}",
                "is the host up, and its address right as seen from there?",
                host=settings.name,
                place=settings.label,
            ) from error
        attempt.guard(channel.close)
        return channel
