"""A series of drills: what all its cases share."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.faults.drill import Drill, Untried
from tests.faults.ground import Ground
from tests.faults.matrix import BAD_RELEASES, BROUGHT_BY, GOOD, Case
from tests.faults.verdict import Broken
from tests.stage import ENVIRONMENT, Stage

ALIVE = "Host *\n  ServerAliveInterval 1\n  ServerAliveCountMax 3\n"


class Series:
    """Releases built once, good ones and bad ones, and the hosts; `run` tries one case on them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.grounds = {host: Ground(stage.lab, host) for host in ("web1", "web2")}
        self.commits: dict[str, str] = {}
        config = stage.directory / "impatient_ssh_config"
        config.write_text(f"{ALIVE}Include {stage.lab.ssh_config}\n")
        self._ssh = {**stage.settings["ssh"], "config": str(config), "connect_timeout": 5}
        for version in GOOD:
            self._commit(version)

    def close(self) -> None:
        """Leave the hosts as other tests expect them."""
        for ground in self.grounds.values():
            ground.stand_up()
            ground.make_room()
            ground.give_inodes_back()
        self.stage.write()
        self.stage.version(GOOD[-1])
        self.stage.fab("deploy", "--force")

    def run(self, case: Case) -> None:
        """Try one case. Raises: Broken, with everything that is needed to see it again; Untried."""
        drill = Drill(self, case)
        try:
            drill.run()
        except (AssertionError, OSError, subprocess.SubprocessError) as broken:
            again = f"pytest -m faults --seed {case.seed} --only {case.number}"
            told = f"{case}\n{type(broken).__name__}: {broken}\n\nagain: {again}\n\n{drill.story}"
            raise (Untried if isinstance(broken, Untried) else Broken)(told) from None
        finally:
            for host in case.hosts:
                self.grounds[host].stand_up()
                self.grounds[host].make_room()

    def _commit(self, version: str, fault: str = "") -> str:
        key = fault or version
        if key not in self.commits:
            self.commits[key] = self.stage.version(version, fault)
        return self.commits[key]

    def bad(self, fault: str) -> str:
        """The commit of a release that is bad in this way."""
        return self._commit(f"9.9.{BAD_RELEASES.index(fault)}", fault)

    def environment(self, case: Case) -> str:
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
        self.stage.write(**settings)
        return ENVIRONMENT
