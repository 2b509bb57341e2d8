"""Runs cases: what all of a run share, the releases and the hosts."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.environment import ENVIRONMENT, LabEnvironment
from tests.faults.fault_case import FaultCase, Untried
from tests.faults.fixture import HostFixture
from tests.faults.matrix import BAD_RELEASES, BROUGHT_BY, GOOD, Case
from tests.faults.verdict import Broken

ALIVE = "Host *\n  ServerAliveInterval 1\n  ServerAliveCountMax 3\n"


class CaseRunner:
    """Releases built once, good ones and bad ones, and the hosts; `run` tries one case on them."""

    def __init__(self, environment: LabEnvironment) -> None:
        self.environment = environment
        self.fixtures = {host: HostFixture(environment.lab, host) for host in ("web1", "web2")}
        self.commits: dict[str, str] = {}
        config = environment.directory / "impatient_ssh_config"
        config.write_text(f"{ALIVE}Include {environment.lab.ssh_config}\n")
        self._ssh = {**environment.settings["ssh"], "config": str(config), "connect_timeout": 5}
        for version in GOOD:
            self._commit(version)

    def close(self) -> None:
        """Leave the hosts as other tests expect them."""
        for fixture in self.fixtures.values():
            fixture.stand_up()
            fixture.make_room()
            fixture.give_inodes_back()
        self.environment.write()
        self.environment.version(GOOD[-1])
        self.environment.fab("deploy", "--force")

    def run(self, case: Case) -> None:
        """Try one case. Raises: Broken, with everything that is needed to see it again; Untried."""
        fault_case = FaultCase(self, case)
        try:
            fault_case.run()
        except (AssertionError, OSError, subprocess.SubprocessError) as broken:
            again = f"pytest -m faults --seed {case.seed} --only {case.number}"
            told = f"{case}\n{type(broken).__name__}: {broken}\n\nagain: {again}\n\n{fault_case.transcript}"
            raise (Untried if isinstance(broken, Untried) else Broken)(told) from None
        finally:
            for host in case.hosts:
                self.fixtures[host].stand_up()
                self.fixtures[host].make_room()

    def _commit(self, version: str, fault: str = "") -> str:
        key = fault or version
        if key not in self.commits:
            self.commits[key] = self.environment.version(version, fault)
        return self.commits[key]

    def bad(self, fault: str) -> str:
        """Return the commit of a release with this fault."""
        return self._commit(f"9.9.{BAD_RELEASES.index(fault)}", fault)

    def write_inventory(self, case: Case) -> str:
        """The name of an inventory for the case: always the same, because that is whose the hosts are."""
        balancer = BROUGHT_BY.get(case.cell.step) == "balancer"
        settings: dict[str, Any] = {
            "ssh": self._ssh,
            "health": {"deadline": 8, "timeout": 2, "settle": 3 if case.cell.fault == "crash-after-2s" else 0},
            "deploy": {
                "strategy": case.cell.strategy,
                "migrate": "Hello.Release.migrate()",
                "drain": 2,
                "balancer_drain": 1 if balancer else 0,
                "keep": 3,
            },
        }
        self.environment.write(**settings)
        return ENVIRONMENT
