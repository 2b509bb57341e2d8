"""A drill: one case of the matrix from its beginning to the verdict."""

from __future__ import annotations

import http.client
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.ground import ROOT, Ground, clock_back
from tests.faults.injection import befall, inject
from tests.faults.matrix import BAD_RELEASES, BROUGHT_BY, GOOD, Case, occurrence
from tests.faults.verdict import (
    Broken,
    await_activation,
    insist,
    is_tidy,
    lock_ends,
    serves,
    settle,
    tells_the_truth,
)
from tests.stage import PROJECT
from warpbeam.error import Problem

if TYPE_CHECKING:
    from tests.faults.series import Series

# What the whole command may take; a hang is a fault.
PATIENCE = 150.0
# After these `fab` could not give its lock back.
LOCKED = frozenset({"fab-kill", "cut", "reset", "crash", "power-loss"})
ENDINGS = {0, 3, 4, 130, -9}


class Untried(AssertionError):
    """The moment of the case never came."""


class Drill:
    """One case under way; `story` is what its commands said."""

    def __init__(self, series: Series, case: Case) -> None:
        self.case = case
        self.stage = series.stage
        self.series = series
        self.environment = series.environment(case)
        self.grounds = [series.grounds[host] for host in case.hosts]
        self.victim = series.grounds[case.victim]
        self.story = ""
        self.came = False
        self.slot_before = ""
        self.mishap = ""
        self._second: subprocess.Popen[str] | None = None

    # The command

    def fab(self, *words: str, expect: int) -> None:
        done = self.stage.fab("-H", ",".join(self.case.hosts), *words, environment=self.environment, expect=None)
        self.story += f"--- fab {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}\n"
        insist(done.returncode == expect, f"`fab {' '.join(words)}` ended with {done.returncode}, expected {expect}")

    def run(self) -> None:
        case = self.case
        before = self._make_ready()
        other = next(version for version in GOOD if version != before)
        bad = case.cell.fault if case.cell.fault in BAD_RELEASES else ""
        if BROUGHT_BY.get(case.cell.step) == "unhealthy":
            bad = "unhealthy"
        words: tuple[str, ...]
        match case.command:
            case "deploy":
                words = ("deploy", "--ref", self.series.bad(bad) if bad else self.series.commits[other])
                aim = before if bad else other
            case "rollback":
                words, aim = ("rollback", "--to", other), other
            case _:
                words, aim = ("restart",), before
        self.slot_before = self.victim.live_slot
        befall(case, self.victim)
        code = self._perform(words)
        self._verdict(words, code, bad, before, aim)

    def _make_ready(self) -> str:
        """Every host serves the same good release, and has a healthy one before it; its version."""
        try:
            said = [serves(ground, frozenset(GOOD)) for ground in self.grounds]
            live = {row["version"] for row in said}
            insist(len(live) == 1, f"hosts run {live}")
            if self.case.command == "rollback":
                other = next(version for version in GOOD if version not in live)
                for host in self.case.hosts:
                    names = [
                        row for row in self.stage.releases(host) if row["version"] == other and row["mark"] == "healthy"
                    ]
                    insist(bool(names), f"{host} has no {other}")
            return str(live.pop())
        except (AssertionError, OSError, ValueError, KeyError):
            for ground in self.grounds:
                await_activation(ground)
            self.stage.fab(
                "-H", ",".join(self.case.hosts), "lock.release", "--force", environment=self.environment, expect=None
            )
            for version in GOOD:
                self.fab("deploy", "--force", "--ref", self.series.commits[version], expect=0)
            return GOOD[-1]

    def _perform(self, words: tuple[str, ...]) -> int:
        """Run the command, and do to it what the case says when its step comes; its exit status."""
        case = self.case
        variables: dict[str, str] = {}
        if case.cell.fault == "clock-back":
            variables = clock_back(Path(tempfile.mkdtemp(dir=self.stage.directory)))
        dying = BROUGHT_BY.get(case.cell.step) == "death-in-drain"
        if dying:
            threading.Thread(target=self._stream, daemon=True).start()
        process = self._begin(("-H", ",".join(case.hosts), *words), variables)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        said: list[str] = []
        striking: threading.Thread | None = None
        seen = 0
        line = f"{case.victim}: {case.cell.step.rpartition('.')[2]}\n"
        assert process.stderr is not None
        began = time.monotonic()
        for text in process.stderr:
            said.append(f"{time.monotonic() - began:6.2f} {text}")
            if dying and text == f"{case.victim}: drain\n":
                self.victim.kill("b" if self.slot_before == "a" else "a")
            if case.cell.step and not self.came and text == line:
                seen += 1
                if seen == occurrence(case):
                    self.came = True
                    striking = threading.Thread(target=self._strike, args=(process, said, began), daemon=True)
                    striking.start()
        code = process.wait()
        hung = time.monotonic() - began >= PATIENCE
        watchdog.cancel()
        # The command may end before the fault comes.
        if striking is not None:
            striking.join(60)
        self.story += f"--- fab {' '.join(words)}: {code}\n{''.join(said)}\n"
        if self._second is not None:
            self._end_second(self._second)
        insist(not self.mishap, self.mishap)
        insist(not hung, f"it had not ended after {PATIENCE:.0f} s")
        insist("Traceback" not in self.story and "a fault in Warpbeam itself" not in self.story, "a bug showed")
        insist(code in ENDINGS, f"it ended with {code}")
        if case.cell.step and not self.came:
            raise Untried(f"its step never came in `fab {' '.join(words)}`")
        return code

    def _strike(self, process: subprocess.Popen[str], said: list[str], began: float) -> None:
        time.sleep(self.case.delay)
        said.append(f"{time.monotonic() - began:6.2f} >>> {self.case.cell.fault}\n")
        try:
            self._second = inject(self.case, self.victim, process, self.slot_before, self._second_deploy)
        except (AssertionError, OSError, subprocess.SubprocessError, Problem) as error:
            self.mishap = f"the fault could not be made: {error}"

    def _second_deploy(self) -> subprocess.Popen[str]:
        words = ("-H", ",".join(self.case.hosts), "deploy", "--force", "--ref", self.series.commits[GOOD[0]])
        return self._begin(words, {})

    def _begin(self, words: tuple[str, ...], variables: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.stage.argv(*words, environment=self.environment),
            cwd=PROJECT,
            env={**self.stage.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _end_second(self, second: subprocess.Popen[str]) -> None:
        _, said = second.communicate(timeout=PATIENCE)
        self.story += f"--- the second: {second.returncode}\n{said}\n"
        insist(second.returncode in (0, 3), f"the second deploy ended with {second.returncode}")
        if second.returncode == 3:
            insist("the deploy lock is held by" in said or "an activation is running" in said, "it says not by whom")

    def _stream(self) -> None:
        """A client that stays for a while, so that there is something to drain."""
        try:
            with urllib.request.urlopen(f"http://{self.victim.address}/stream?ms=25000", timeout=30) as answer:
                answer.read()
        except (http.client.HTTPException, OSError, ValueError):
            pass  # the instance that it streams from is killed

    # The verdict

    def _verdict(self, words: tuple[str, ...], code: int, bad: str, before: str, aim: str) -> None:
        fault = self.case.cell.fault
        full = fault in ("disk-full", "inodes-full")
        for ground in self.grounds:
            ground.stand_up()
            await_activation(ground)
        allowed = {before, aim}
        if self._second is not None:
            allowed.add(GOOD[0])
        elif code == 0:
            allowed = {aim}
        elif code == 3 and fault not in LOCKED:
            allowed = {before}
        self._all_well(frozenset(allowed))
        lock_ends(self.stage, self.environment, self.case.hosts, may_be_held=fault in LOCKED)
        if full:
            self._refuses_while_full(words)
            self._all_well(frozenset(allowed))
            for ground in self.grounds:
                ground.make_room()
        self.fab(*words, expect=4 if bad else 0)
        self._all_well(
            frozenset({self._good_now() if bad else aim} if words[0] != "restart" else GOOD), ask_status=False
        )
        last = next(version for version in GOOD if version != self._good_now())
        self.fab("deploy", "--ref", self.series.commits[last], expect=0)
        self._all_well(frozenset({last}))
        for ground in self.grounds:
            is_tidy(ground)

    def _good_now(self) -> str:
        return str(serves(self.grounds[0], frozenset(GOOD))["version"])

    def _all_well(self, versions: frozenset[str], *, ask_status: bool = True) -> None:
        served: dict[str, dict[str, Any]] = {}

        def ask() -> None:
            for ground in self.grounds:
                served[ground.host] = serves(ground, versions)

        try:
            settle(ask)
        except Broken:
            for ground in self.grounds:
                self.story += f"--- {ground.host}\n{self._scene(ground)}\n"
            raise
        if ask_status:
            settle(lambda: tells_the_truth(self.stage, self.environment, served), 5)

    def _scene(self, ground: Ground) -> str:
        return ground.sh(
            f"ls -l {ROOT} {ROOT}/slots {ROOT}/releases {ROOT}/activation; "
            "systemctl --no-pager status 'hello@*' | head -n 60; "
            f"cat {ROOT}/activation/result; nft list table inet warpbeam_hello | grep redirect; "
            "journalctl --no-pager -n 60; df /opt; df -i /opt",
            check=False,
        )

    def _refuses_while_full(self, words: tuple[str, ...]) -> None:
        """On a full disk the same command refuses cleanly."""
        # The command has given back the room that it kept for itself.
        inject(self.case, self.victim, None, self.slot_before, self._second_deploy)
        done = self.stage.fab("-H", ",".join(self.case.hosts), *words, environment=self.environment, expect=None)
        self.story += f"--- while full, fab {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}\n"
        insist(done.returncode == 3, f"on a full disk the same command ended with {done.returncode}, expected 3")
