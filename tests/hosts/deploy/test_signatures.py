"""Signed releases: a deploy signs what it builds, refuses what no allowed key signed, and tells hosts who signed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.assertions import assert_serves
from tests.environment import LabEnvironment
from tests.timeouts import LONG

ALICE = "alice@acme.example"
ON_HOST = "/opt/acme/hello/releases/{release}/.warpbeam"


class Signers(msgspec.Struct):
    """Two keys of one person, and the files that say which of them counts."""

    environment: LabEnvironment
    directory: Path
    # Versions that no earlier run on a kept lab has built, and signed with keys of its own.
    first: str
    second: str

    @property
    def old(self) -> Path:
        """The first key."""
        return self.directory / "old"

    @property
    def new(self) -> Path:
        """The key that replaces it."""
        return self.directory / "new"

    def write(self, *, sign: Path | None, revoked: Path | None = None) -> None:
        """Write the environment: which key signs builds, and which key no longer counts."""
        settings = {**self.environment.settings["deploy"], "allowed_signers": str(self.directory / "allowed_signers")}
        if revoked is not None:
            listed = self.directory / "revoked_signers"
            listed.write_text(Path(f"{revoked}.pub").read_text())
            settings["revoked_signers"] = str(listed)
        self.environment.write(deploy=settings, build={"sign": {"key": str(sign)}} if sign else {})


@pytest.fixture(scope="module")
def signers(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signers]:
    """The environment with allowed signers; without them again afterwards."""
    number = int(time.time()) % 100_000
    found = Signers(environment, tmp_path_factory.mktemp("keys"), f"9.1.{number}", f"9.2.{number}")
    lines = ""
    for key in (found.old, found.new):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=LONG)
        lines += f'{ALICE} namespaces="warpbeam-release" {Path(f"{key}.pub").read_text()}'
    (found.directory / "allowed_signers").write_text(lines)
    try:
        # Hosts that do not check signatures yet get one with the release: what is live must count by the next setup.
        environment.write(build={"sign": {"key": str(found.old)}})
        environment.version(f"9.0.{number}")
        environment.fab("deploy")
        found.write(sign=found.old)
        environment.fab("setup", "--restart")
        yield found
    finally:
        environment.write()
        environment.fab("setup", "--restart")


def live(environment: LabEnvironment, host: str) -> str:
    """The name of the release that is live on a host."""
    return str(environment.status()[host]["release"])


def signature_on(environment: LabEnvironment, host: str, release: str) -> str:
    """The signature beside a release on a host."""
    return environment.lab.ssh(host, f"sudo cat {ON_HOST.format(release=release)}/signature").stdout


def key_of(environment: LabEnvironment, version: str) -> str:
    """The key of the artifact of a version."""
    rows = json.loads(environment.fab("artifacts.list", "--json").stdout)
    return next(str(row["key"]) for row in rows if row["version"] == version)


def test_a_deploy_signs_what_it_builds_and_hosts_get_the_signature(signers: Signers, tmp_path: Path) -> None:
    environment = signers.environment
    environment.version(signers.first)

    done = environment.fab("deploy")

    assert_serves(environment, signers.first)
    assert f"signed by {ALICE} (SHA256:" in done.stderr
    key = key_of(environment, signers.first)
    for host in ("web1", "web2"):
        release = live(environment, host)
        place = ON_HOST.format(release=release)
        assert signature_on(environment, host, release) == environment.store.signature_file(key).read_text()
        said = environment.lab.ssh(host, f"sudo stat -c '%a %U' {place}/signature").stdout.split()
        assert said == ["640", "deploy"]
        # A person checks it by hand, as docs/signatures.md says.
        digest = environment.lab.ssh(
            host, f"sudo sh -c 'cd {place} && sha256sum manifest links runtime | sha256sum'"
        ).stdout.split()[0]
        file = tmp_path / host
        file.write_text(signature_on(environment, host, release))
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(signers.directory / "allowed_signers"), "-I", ALICE]
        subprocess.run(
            [*argv, "-n", "warpbeam-release", "-s", str(file)],
            input=f"warpbeam-release 1\nacme/hello\n{digest}\n",
            text=True,
            check=True,
            timeout=LONG,
        )
    (row,) = [row for row in json.loads(environment.fab("artifacts.list", "--json").stdout) if row["key"] == key]
    assert row["signed"] == ALICE
    planned = json.loads(environment.fab("plan", "--json").stdout)
    assert {row["signer"] for row in planned} == {f"{ALICE} ({fingerprint(signers.old)})"}


def fingerprint(key: Path) -> str:
    """The fingerprint of a key."""
    said = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True, timeout=LONG)
    return said.stdout.split()[1]


def test_a_deploy_refuses_what_no_allowed_key_signed_before_it_takes_the_lock(signers: Signers) -> None:
    environment = signers.environment
    environment.version(signers.second)
    signers.write(sign=None)
    before = environment.status()

    unsigned = environment.fab("deploy", expect=3)

    key = key_of(environment, signers.second)
    assert f"may not go live: the artifact {key}: it is not signed; nothing was changed on any host" in unsigned.stderr
    assert f"fab stage artifacts.sign {key}" in unsigned.stderr
    assert {host: row["release"] for host, row in environment.status().items()} == {
        host: row["release"] for host, row in before.items()
    }
    (row,) = [row for row in json.loads(environment.fab("artifacts.verify", "--json", expect=5).stdout)
              if row["key"] == key]  # fmt: skip
    assert (row["state"], row["problem"]) == ("untrusted", "it is not signed")
    environment.fab("artifacts.sign", key, "--key", str(signers.old))
    environment.fab("deploy", "--artifact", key)
    assert_serves(environment, signers.second)
    signers.write(sign=None, revoked=signers.old)
    revoked = environment.fab("deploy", "--artifact", key, "--force", expect=3)
    assert f"its key {fingerprint(signers.old)} of {ALICE} is revoked" in revoked.stderr


def test_a_new_signature_reaches_hosts_that_have_the_release_already(signers: Signers) -> None:
    environment = signers.environment
    now, before = (key_of(environment, version) for version in (signers.second, signers.first))
    signers.write(sign=None, revoked=signers.old)
    environment.fab("setup")
    releases = {row["version"]: row["release"] for row in environment.releases("web1")}

    environment.fab("artifacts.sign", f"{now},{before}", "--key", str(signers.new))
    done = environment.fab("deploy", "--artifact", now)

    assert "is live on every host already" in done.stderr
    assert "2 signatures written beside releases that it had already" in done.stderr
    for key, version in ((now, signers.second), (before, signers.first)):
        assert signature_on(environment, "web1", releases[version]) == environment.store.signature_file(key).read_text()
    again = environment.fab("deploy", "--artifact", now)
    assert "written beside" not in again.stderr
