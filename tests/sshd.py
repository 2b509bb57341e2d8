"""A real sshd on a loopback port, with its own keys and log, for tests of connections."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from warpbeam.inventory.schema import Host, Ssh

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


class Sshd(msgspec.Struct, frozen=True):
    """A running server: `home` holds host_ed25519, host_ecdsa, host_rsa, id_ed25519, known_hosts, config."""

    home: Path
    port: int
    pid: int

    @property
    def known_hosts(self) -> Path:
        return self.home / "known_hosts"

    def public(self, kind: str = "ed25519") -> str:
        """A host key as known_hosts has it, without names."""
        return " ".join((self.home / f"host_{kind}.pub").read_text().split()[:2])

    def knows(self, *lines: str) -> None:
        self.known_hosts.write_text("".join(f"{line}\n" for line in lines))

    @property
    def line(self) -> str:
        """The right line for known_hosts."""
        return f"[127.0.0.1]:{self.port} {self.public()}"

    def host(self, name: str = "web1") -> Host:
        return Host(name=name, address="127.0.0.1", port=self.port)

    def ssh(self, **others: object) -> Ssh:
        given: dict[str, object] = {
            "config": self.home / "config",
            "known_hosts": self.known_hosts,
            "identities": (self.home / "id_ed25519",),
            "connect_timeout": 5,
        }
        return Ssh(**{**given, **others})  # type: ignore[arg-type]

    def children(self) -> list[int]:
        """The processes that serve connections."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


def keygen(file: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", file.name, "-f", str(file)], check=True)


def free_port() -> int:
    with socket.socket() as health_parameters:
        health_parameters.bind(("127.0.0.1", 0))
        return int(health_parameters.getsockname()[1])


@contextmanager
def serving(home: Path, *, config: str = "", kinds: tuple[str, ...] = ("ed25519",)) -> Iterator[Sshd]:
    """Start sshd with fresh keys in `home`; its host keys are known and its user's key is let in."""
    if not Path(SSHD).exists():
        pytest.skip("needs OpenSSH's sshd (openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation directory
    home.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        keygen(home / f"host_{kind}", kind)
    keygen(home / "id_ed25519")
    shutil.copy(home / "id_ed25519.pub", home / "authorized_keys")
    (home / "config").touch()
    port = free_port()
    lines = [
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        *[f'HostKey "{home}/host_{kind}"' for kind in kinds],
        f'AuthorizedKeysFile "{home}/authorized_keys"',
        f'PidFile "{home}/pid"',
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin yes",
        "StrictModes no",
        "UsePAM no",
        "MaxAuthTries 4",
        "Subsystem sftp internal-sftp",
    ]
    (home / "sshd_config").write_text("\n".join([*lines, config]) + "\n")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "sshd_config")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as health_parameters:
                if health_parameters.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            pytest.fail((home / "log").read_text())
        server = Sshd(home, port, process.pid)
        server.knows(server.line)
        yield server
    finally:
        for child in Sshd(home, port, process.pid).children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        process.terminate()
        process.wait(10)
