"""CodeDeploy's agent on a host of the lab: it runs the hooks of a revision as the real one does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from tests.lab import LabHandle
from tests.runner import send
from tests.timeouts import LONG
from warpbeam.lab.client import ssh_argv

HERE = Path(__file__).parent
AGENT = "codedeploy_agent.sh"
HOME = "/root/revisions"


class Agent:
    """The agent on one host; each deployment runs in a unit of its own, so that a test can kill it with its hooks."""

    def __init__(self, lab: LabHandle, host: str) -> None:
        self.lab = lab
        self.host = host
        send(lab, host, [AGENT], HERE, HOME)

    def take(self, revision: Path) -> None:
        """Copy a revision to the host."""
        send(self.lab, self.host, [revision.name], revision.parent, HOME)

    def begin(self, revision: str, deployment: str, *events: str) -> subprocess.Popen[str]:
        """Begin a deployment of the revision of that name, or only some of its events."""
        words = ("bash", f"{HOME}/{AGENT}", f"{HOME}/{revision}", deployment, *events)
        run = ("sudo", "systemd-run", f"--unit={deployment}", "--collect", "--wait", "--pipe", "--quiet", *words)
        argv = (*ssh_argv(self.lab.name, self.host)[:-1], "-l", "admin", "-o", "BatchMode=yes", self.host)
        return subprocess.Popen(
            (*argv, shlex.join(run)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def deploy(self, revision: str, deployment: str, *events: str, expect: int = 0) -> str:
        """Run a deployment to its end; return the output of its hooks. Fails the test unless it ends with `expect`."""
        return ended(self.begin(revision, deployment, *events), expect)

    def kill(self, deployment: str) -> None:
        """Kill the agent of a deployment, and every hook of it."""
        self.lab.ssh(self.host, f"sudo systemctl kill --signal=KILL {deployment}.service")


def ended(process: subprocess.Popen[str], expect: int = 0) -> str:
    """Return the output of a deployment, once it has ended. Fails the test unless that was with `expect`."""
    said, _ = process.communicate(timeout=LONG)
    print(said)
    assert process.returncode == expect, said
    return said
