"""Admission on a host of the lab: people who may sign, releases that they sign, and what the helper makes of them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.environment import LabEnvironment

HOST = "web1"
ROOT = "/opt/acme/hello"
ADMITTED = "/opt/acme/hello.admitted"
HELPER = "/usr/lib/warpbeam/hello/warpbeam-helper"
NAMESPACE = "warpbeam-release"
# The digest of a release as a host keeps it.
DIGEST = "cd {0}/.warpbeam && sha256sum manifest links runtime | sha256sum"


class Signer:
    """A person with a key of their own."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.key = directory / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)], check=True)
        self.public = Path(f"{self.key}.pub").read_text().strip()

    def allowed(self, options: str = "") -> str:
        """A line of allowed_signers."""
        return f"{self.name}@acme {options} {self.public}".replace("  ", " ") + "\n"

    def sign(self, digest: str, app: str = "acme/hello", namespace: str = NAMESPACE) -> str:
        """The signature over a release's digest."""
        statement = f"warpbeam-release 1\n{app}\n{digest}\n"
        command = ("ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key), "-n", namespace)
        return subprocess.run(command, input=statement, capture_output=True, text=True, check=True).stdout


class Admission:
    """Admission on HOST: the signers of its environment, and the verbs as the deploy user calls them."""

    def __init__(self, environment: LabEnvironment, directory: Path) -> None:
        self.environment = environment
        self.lab = environment.lab
        self.directory = directory
        self.alice = Signer(directory, "alice")
        self.bob = Signer(directory, "bob")
        self.mallory = Signer(directory, "mallory")
        self.settings = {
            **environment.settings,
            "hosts": {HOST: {"roles": ["app", "migrate"]}, "build1": {"roles": ["build"]}},
        }

    def write(self, allowed: str, revoked: str = "", **changes: object) -> None:
        """Write the inventory, with those who may sign."""
        deploy = {**self.settings["deploy"], "allowed_signers": str(self.directory / "allowed")}
        (self.directory / "allowed").write_text(allowed)
        if revoked:
            (self.directory / "revoked").write_text(revoked)
            deploy["revoked_signers"] = str(self.directory / "revoked")
        self.environment.write(**{**self.settings, "deploy": deploy, **changes})

    def as_deploy(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script as somebody who has the deploy key."""
        return self.lab.ssh(HOST, "bash -s", "deploy", check=check, stdin=f"set -e; R={ROOT}; H={HELPER}\n{script}")

    def as_root(self, script: str, *, check: bool = True) -> str:
        """Run a script as root; its output."""
        return self.lab.ssh(
            HOST, "sudo bash -s", check=check, stdin=f"R={ROOT}; A={ADMITTED}; H={HELPER}\n{script}"
        ).stdout

    def call(self, verb: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Call a verb of the helper as the deploy user."""
        return self.lab.ssh(HOST, f"sudo -n {HELPER} {verb}", "deploy", check=False, stdin=stdin)

    def live(self) -> str:
        """The release that runs, by the kernel's word."""
        pids = "systemctl show -P MainPID hello@a hello@b | grep -E '^[1-9]'"
        return self.as_root(f"for p in $({pids}); do readlink /proc/$p/cwd; done").strip()

    def digest(self, release: str) -> str:
        """The digest of a release in the deploy user's tree."""
        return self.as_deploy(DIGEST.format(f"$R/releases/{release}")).stdout.split()[0]

    def sign(self, release: str, signer: Signer, **how: str) -> None:
        """Put a signature beside a release, as an upload does."""
        text = signer.sign(how.pop("digest", "") or self.digest(release), **how)
        self.as_deploy(f"cat >$R/releases/{release}/.warpbeam/signature <<'EOF'\n{text}EOF\n")

    def releases(self) -> list[str]:
        """The releases in the deploy user's tree, oldest first."""
        said = self.as_deploy("cd $R/releases; ls -d *Z").stdout
        return re.findall(r"\d{8}T\d{6}Z", said)

    def admitted(self) -> set[str]:
        """The names in root's tree."""
        return set(self.as_root("ls -A $A").split()) - {"a", "b"}

    def run_job(self, script: str) -> None:
        """Have the activation's unit run a script of the attacker's, and go on while it runs."""
        self.as_deploy(f"""
            cd $R/activation; [ -e job.was ] || mv job job.was; printf '%s\\n' {shlex.quote(script)} >job
            sudo -n $H activate </dev/null >/dev/null 2>&1 &
            until [ -e /run/hello-activate ]; do sleep 0.1; done""")

    def end_job(self) -> None:
        """End what `run_job` began, and put the job back."""
        self.as_root("systemctl kill --signal=KILL hello-activate; systemctl stop hello-activate", check=False)
        self.as_deploy("cd $R/activation; mv -f job.was job", check=False)


def switched_on(environment: LabEnvironment, directory: Path, **deploy: object) -> Iterator[Admission]:
    """Yield a host that admits what alice signs, once; its live release is hers. Switches admission off again."""
    made = Admission(environment, directory)
    made.settings["deploy"] = {**made.settings["deploy"], **deploy}
    made.as_root("rm -f /opt/full; rm -rf $R/releases/20200101*")
    made.sign(made.live().rpartition("/")[2], made.alice)
    made.write(made.alice.allowed())
    environment.fab("setup", "--restart")
    yield made
    made.as_deploy("rm -rf $R/releases/20200101*")
    environment.write()
    environment.fab("setup", "--restart")
