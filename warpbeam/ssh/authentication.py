"""Authentication: the keys of an agent and of files, in the order in which OpenSSH offers them.

Paramiko's own strategy ignores IdentitiesOnly for the agent's keys, and offers locked files before the agent that
holds their keys.
"""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.agent import AgentKey, AgentSSH
from paramiko.auth_strategy import AuthFailure, AuthResult, AuthSource, AuthStrategy, SourceResult

from warpbeam.ssh.ssh_config import Settings

CERTIFICATE = "-cert-v01@openssh.com"
AGENT_PATIENCE = 10.0  # seconds; an agent that hangs must not stop us


class Agent(AgentSSH):
    """The agent behind one socket; Paramiko's own class uses only $SSH_AUTH_SOCK."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(AGENT_PATIENCE)
        connection.connect(str(path))
        self._connect(connection)
        # Signing may wait for a person to touch a key or to confirm.
        connection.settimeout(None)

    def close(self) -> None:
        self._close()


class Key(AuthSource):
    """A key to offer; `origin` is its name in messages."""

    def __init__(self, user: str, key: Any, origin: str) -> None:
        super().__init__(user)
        self.key = key
        self.origin = origin

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        left: list[str] = transport.auth_publickey(self.username, self.key)
        if left:
            raise paramiko.AuthenticationException(f"accepted, but it also wants: {', '.join(left)}")
        return left


class Keys(AuthStrategy):
    """All keys for one host. After a failure, `offered` has the keys tried, `locked` and `unreadable` the others."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(ssh_config=paramiko.SSHConfig())
        self.settings = settings
        self.offered: list[str] = []
        self.locked: list[str] = []
        self.unreadable: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> AuthResult:
        result = AuthResult(strategy=self)
        with contextlib.ExitStack() as stack:
            for source in self._keys(stack):
                self.offered.append(source.origin)
                try:
                    result.append(SourceResult(source, source.authenticate(transport)))
                except (paramiko.SSHException, OSError, EOFError) as error:
                    result.append(SourceResult(source, error))
                    if not transport.is_active():
                        break  # the server has ended the connection after too many tries
                else:
                    return result
        raise AuthFailure(result)

    def _keys(self, stack: contextlib.ExitStack) -> Iterator[Key]:
        """Yield keys in OpenSSH's order: the agent's keys that are configured, its other keys, keys of files."""
        user, agent = self.settings.user, None
        if self.settings.agent:
            # A missing or broken agent is no error: keys of files may suffice.
            with contextlib.suppress(OSError, paramiko.SSHException):
                agent = Agent(self.settings.agent)
                stack.callback(agent.close)
        configured = [(path, public_blob(path)) for path in self.settings.identities]
        wanted = {blob for _, blob in configured if blob}
        held: list[AgentKey] = list(agent.get_keys()) if agent else []
        for one in sorted(held, key=lambda one: plain_blob(one.blob) not in wanted):
            if plain_blob(one.blob) in wanted or not self.settings.identities_only:
                yield Key(user, one, f"{one.comment or one.name} (agent)")
        in_agent = {plain_blob(key.blob) for key in held}
        for path, blob in configured:
            if blob in in_agent and blob is not None:
                continue
            if (key := self._load(path)) is not None:
                if key.public_blob is not None:
                    yield Key(user, key, f"{path} (certificate)")
                    key = self._load(path, certified=False)
                yield Key(user, key, str(path))

    def _load(self, path: Path, *, certified: bool = True) -> paramiko.PKey | None:
        """Return the private key of a file, with its certificate; None, with the reason in `locked` or `unreadable`."""
        if not path.is_file():
            return None
        try:
            key: paramiko.PKey = paramiko.PKey.from_path(path)
        except (TypeError, paramiko.PasswordRequiredException):
            self.locked.append(str(path))  # cryptography raises TypeError where a passphrase is needed
            return None
        except (ValueError, OSError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
            self.unreadable.append(f"{path}: {error}")
            return None
        if not certified:
            key.public_blob = None
            return key
        for certificate in self.settings.certificates:
            with contextlib.suppress(OSError, ValueError):
                blob = base64.b64decode(certificate.read_text("utf-8").split()[1])
                if plain_blob(blob) == key.asbytes():
                    key.load_certificate(str(certificate))
        return key


def public_blob(path: Path) -> bytes | None:
    """Return an identity's public key, from the file beside it: the private one may be locked, or only in the agent."""
    for file in (path.with_name(path.name + ".pub"), path):
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = file.read_text("utf-8")
            if not text.startswith("-----"):
                return base64.b64decode(text.split()[1])
    with contextlib.suppress(Exception):
        return bytes(paramiko.PKey.from_path(path).asbytes())
    return None


def plain_blob(blob: bytes) -> bytes:
    """Return a public key without its certificate (PROTOCOL.certkeys: type, nonce, the key's own fields, the rest)."""
    message = paramiko.Message(blob)
    kind = message.get_text()
    if not kind.endswith(CERTIFICATE):
        return blob
    message.get_string()
    kind = kind.removesuffix(CERTIFICATE)
    fields = {"ssh-ed25519": 1, "ssh-rsa": 2}.get(kind, 2)
    plain = paramiko.Message()
    plain.add_string(kind)
    for _ in range(fields):
        plain.add_string(message.get_string())
    return bytes(plain.asbytes())
