"""An app on the lab's hosts, as a person would have it: a repository, an inventory, and `fab`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab import KEPT, LabHandle
from tests.timeouts import ANSWER, COMMAND, HEALTHY_WITHIN
from tests.zygote import zygote
from warpbeam.lab.state import SUITES
from warpbeam.store.directory import DirectoryStore

PROJECT = Path(__file__).parent.parent
ENVIRONMENT = "stage"
# A VM with one scheduler of each kind, which does not spin while it has nothing to do, starts with two thirds of the
# processor time; a third of all that tests on hosts take is that of VMs which start.
VM_ARGS = "+S 1:1\n+SDcpu 1:1\n+SDio 1\n+sbwt none\n+sbwtdcpu none\n+sbwtdio none\n"
# A VM that loads a module when it is first called starts with half of the processor time of one that loads all of them
# at its start, as releases do by default. The demo's app has the default.
ENV_SH = "export RELEASE_MODE=interactive\n"
# uv, where script/bootstrap finds it.
UV = shutil.which("uv") or str(PROJECT / ".cache/uv/bin/uv")


class LabEnvironment:
    """The sample app, its repository and its environment on the hosts of a lab.

    `fab` runs the real command in a process of its own, as a person would; `settings` can be changed and written anew.
    """

    def __init__(self, lab: LabHandle, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.source = directory / "hello"
        self.inventories = directory / "inventory"
        # Where the artifacts are: not shared, since several processes build the same. A lab that is kept keeps its own.
        self.project = PROJECT / ".warpbeam" / "environments" / lab.name if KEPT else directory
        self.inventories.mkdir()
        shutil.copytree(PROJECT / "examples" / "hello", self.source, ignore=shutil.ignore_patterns("_build", "deps"))
        if lab.suite != SUITES[0]:
            # It names what Debian 12 has; another Debian builds with what it has.
            (self.source / ".tool-versions").unlink()
        (self.source / "rel").mkdir(exist_ok=True)
        for name, text in (("vm.args.eex", VM_ARGS), ("remote.vm.args.eex", VM_ARGS), ("env.sh.eex", ENV_SH)):
            (self.source / "rel" / name).write_text(text)
        self.git("init", "-q", "-b", "main")
        self.commit("the first version")
        state = lab.ssh_config.parent
        self.settings: dict[str, Any] = {
            "org": "acme",
            "app": "hello",
            "source": str(self.source),
            "hosts": {
                "web1": {"roles": ["app", "migrate"]},
                "web2": {"roles": ["app"]},
                "build1": {"roles": ["build"]},
            },
            "users": {"admin": "admin"},
            "ssh": {
                "config": str(lab.ssh_config),
                "known_hosts": str(state / "known_hosts"),
                "identities": [str(lab.key)],
            },
            "deploy_keys": [f"{lab.key}.pub"],
            # Quick: most tests are not about apps that come up and die soon after.
            "health": {"deadline": HEALTHY_WITHIN, "settle": 0},
            "deploy": {"migrate": "Hello.Release.migrate()", "drain": 5},
            "env": {"GREETING": "good morning"},
        }
        self.write()

    def write(self, **changes: Any) -> None:
        """Write the inventory (JSON is YAML), with some of its settings changed."""
        self._inventory(ENVIRONMENT).write_text(json.dumps({**self.settings, **changes}, indent=2))

    @contextmanager
    def another(self, name: str, **changes: Any) -> Iterator[None]:
        """One more environment beside this one, with some settings of its own; gone afterwards."""
        file = self._inventory(name)
        file.write_text(json.dumps({**self.settings, **changes}, indent=2))
        try:
            yield
        finally:
            file.unlink()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the hosts meanwhile: it is the quarter's end."""
        self.fab("lock.acquire", "--reason", "quarter end")
        try:
            yield
        finally:
            self.fab("lock.release")

    def _inventory(self, name: str) -> Path:
        return self.inventories / f"{name}.yml"

    def fab(
        self,
        *words: str,
        inventory: str = ENVIRONMENT,
        expect: int | None = 0,
        variables: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = COMMAND,
    ) -> subprocess.CompletedProcess[str]:
        """Run `fab ENVIRONMENT WORDS…`; fails the test unless it ends with `expect` (None: anything)."""
        argv = self.argv(*words, inventory=inventory)
        environ = {**self.environ, **(variables or {})}
        if zygote().fits(environ):
            done = zygote().run(argv, stdin, timeout, PROJECT, environ)
        else:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                cwd=PROJECT,
                env=environ,
            )
        said = f"fab {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        print(said, file=sys.stderr)
        assert expect is None or done.returncode == expect, said
        assert "Traceback" not in done.stderr, said
        return done

    def argv(self, *words: str, inventory: str = ENVIRONMENT) -> list[str]:
        """The command line of `fab` in the environment, for a process of the test's own."""
        return [str(Path(sys.executable).parent / "fab"), *([inventory] if inventory else []), *words]

    @property
    def variables(self) -> dict[str, str]:
        """Variables that make `fab` find this environment's inventories and artifacts."""
        return {"WARPBEAM_INVENTORY": str(self.inventories), "FABRIC_WARPBEAM_PROJECT": str(self.project)}

    @property
    def store(self) -> DirectoryStore:
        """The artifacts that this environment has built."""
        return DirectoryStore(self.project / ".warpbeam" / "artifacts" / "acme-hello")

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment of a `fab` that a test starts by itself."""
        return {**os.environ, **self.variables}

    def status(self) -> dict[str, dict[str, Any]]:
        """`fab status --json`, by host: the row of what is live there."""
        rows = json.loads(self.fab("status", "--json", expect=None).stdout)
        return {row["host"]: row for row in rows if row.get("live", True)}

    def releases(self, host: str) -> list[dict[str, Any]]:
        """`fab releases --json` of one host, newest first."""
        return [row for row in json.loads(self.fab("releases", "--json").stdout) if row["host"] == host]

    def served(self, host: str, path: str = "/") -> Any:
        """Return the answer of the app on `host` on port 80, from outside; decoded JSON for `/`."""
        with urllib.request.urlopen(f"http://{self.lab.address(host)}{path}", timeout=ANSWER) as answer:
            body = answer.read().decode()
        return json.loads(body) if path == "/" else body

    def version(self, text: str, fault: str = "") -> str:
        """Commit a version of the app, with a fault built in where one is named (see examples/hello/README.md)."""
        (self.source / "VERSION").write_text(f"{text}\n")
        file = self.source / "config" / "fault"
        file.unlink(missing_ok=True)
        if fault:
            file.write_text(f"{fault}\n")
        return self.commit(f"version {text} {fault}".strip())

    @contextmanager
    def fault(self, name: str, *hosts: str) -> Iterator[None]:
        """Each instance that starts on `hosts` meanwhile has that fault, or none (empty), whatever was built in."""
        place = "/etc/systemd/system/hello@.service.d"
        for host in hosts:
            self.lab.ssh(
                host,
                f"sudo mkdir -p {place} && printf '[Service]\\nEnvironment=HELLO_FAULT={name}\\n' "
                f"| sudo tee {place}/fault.conf >/dev/null && sudo systemctl daemon-reload",
            )
        try:
            yield
        finally:
            for host in hosts:
                self.lab.ssh(host, f"sudo rm -r {place} && sudo systemctl daemon-reload")

    def commit(self, message: str) -> str:
        """Commit everything, a built-in fault included; returns the commit id."""
        self.git("add", "--all")
        if (self.source / "config" / "fault").exists():
            self.git("add", "--force", "config/fault")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        """Run git in the app's repository."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", self.source, *identity, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()
