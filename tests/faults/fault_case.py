"""One case of the matrix, from its beginning to the verdict."""

from __future__ import annotations

import http.client
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.environment import PROJECT
from tests.faults.fixture import ROOT, HostFixture, clock_back
from tests.faults.injection import inject_fault, prepare_fault
from tests.faults.matrix import BAD_RELEASES, BROUGHT_BY, GOOD, Case, occurrence
from tests.faults.verdict import (
    Broken,
    assert_lock_ends,
    assert_serves,
    assert_soon,
    assert_status_is_true,
    assert_that,
    assert_tidy,
    await_activation,
)
from warpbeam.error import Problem

if TYPE_CHECKING:
    from tests.faults.case_runner import CaseRunner

# Seconds for the whole command; a hang is a fault.
COMMAND_TIMEOUT = 150.0
# After these `fab` could not give its lock back.
LOCKED = frozenset({"fab-kill", "cut", "reset", "crash", "power-loss"})
ENDINGS = {0, 3, 4, 130, -9}


class Untried(AssertionError):
    """The moment of the case never came."""


class FaultCase:
    """One case under way; `story` is what its commands said."""

    def __init__(self, runner: CaseRunner, case: Case) -> None:
        self.case = case
        self.environment = runner.environment
        self.runner = runner
        self.inventory = runner.write_inventory(case)
        self.fixtures = [runner.fixtures[host] for host in case.hosts]
        self.victim = runner.fixtures[case.victim]
        self.transcript = ""
        self.came = False
        self.slot_before = ""
        self.injection_error = ""
        self._second: subprocess.Popen[str] | None = None

    # The command

    def fab(self, *words: str, expect: int) -> None:
        done = self.environment.fab("-H", ",".join(self.case.hosts), *words, inventory=self.inventory, expect=None)
        self.transcript += f"--- fab {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}\n"
        assert_that(
            done.returncode == expect, f"`fab {' '.join(words)}` ended with {done.returncode}, expected {expect}"
        )

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
                words = ("deploy", "--ref", self.runner.bad(bad) if bad else self.runner.commits[other])
                aim = before if bad else other
            case "rollback":
                words, aim = ("rollback", "--to", other), other
            case _:
                words, aim = ("restart",), before
        self.slot_before = self.victim.live_slot
        prepare_fault(case, self.victim)
        code = self._perform(words)
        self._assert_outcome(words, code, bad, before, aim)

    def _make_ready(self) -> str:
        """Every host serves the same good release, and has a healthy one before it; its version."""
        try:
            said = [assert_serves(fixture, frozenset(GOOD)) for fixture in self.fixtures]
            live = {row["version"] for row in said}
            assert_that(len(live) == 1, f"hosts run {live}")
            if self.case.command == "rollback":
                other = next(version for version in GOOD if version not in live)
                for host in self.case.hosts:
                    names = [
                        row
                        for row in self.environment.releases(host)
                        if row["version"] == other and row["state"] == "healthy"
                    ]
                    assert_that(bool(names), f"{host} has no {other}")
            return str(live.pop())
        except (AssertionError, OSError, ValueError, KeyError):
            for fixture in self.fixtures:
                await_activation(fixture)
            self.environment.fab(
                "-H", ",".join(self.case.hosts), "lock.release", "--force", inventory=self.inventory, expect=None
            )
            for version in GOOD:
                self.fab("deploy", "--force", "--ref", self.runner.commits[version], expect=0)
            return GOOD[-1]

    def _perform(self, words: tuple[str, ...]) -> int:
        """Run the command, and do to it what the case says when its step comes; its exit status."""
        case = self.case
        variables: dict[str, str] = {}
        if case.cell.fault == "clock-back":
            variables = clock_back(Path(tempfile.mkdtemp(dir=self.environment.directory)))
        dying = BROUGHT_BY.get(case.cell.step) == "death-in-drain"
        if dying:
            threading.Thread(target=self._stream, daemon=True).start()
        process = self._begin(("-H", ",".join(case.hosts), *words), variables)
        watchdog = threading.Timer(COMMAND_TIMEOUT, process.kill)
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
        hung = time.monotonic() - began >= COMMAND_TIMEOUT
        watchdog.cancel()
        # The command may end before the fault comes.
        if striking is not None:
            striking.join(60)
        self.transcript += f"--- fab {' '.join(words)}: {code}\n{''.join(said)}\n"
        if self._second is not None:
            self._assert_second_ends(self._second)
        assert_that(not self.injection_error, self.injection_error)
        assert_that(not hung, f"it had not ended after {COMMAND_TIMEOUT:.0f} s")
        assert_that(
            "Traceback" not in self.transcript and "a fault in Warpbeam itself" not in self.transcript, "a bug showed"
        )
        assert_that(code in ENDINGS, f"it ended with {code}")
        if case.cell.step and not self.came:
            raise Untried(f"its step never came in `fab {' '.join(words)}`")
        return code

    def _strike(self, process: subprocess.Popen[str], said: list[str], began: float) -> None:
        time.sleep(self.case.delay)
        said.append(f"{time.monotonic() - began:6.2f} >>> {self.case.cell.fault}\n")
        try:
            self._second = inject_fault(self.case, self.victim, process, self.slot_before, self._second_deploy)
        except (AssertionError, OSError, subprocess.SubprocessError, Problem) as error:
            self.injection_error = f"the fault could not be made: {error}"

    def _second_deploy(self) -> subprocess.Popen[str]:
        words = ("-H", ",".join(self.case.hosts), "deploy", "--force", "--ref", self.runner.commits[GOOD[0]])
        return self._begin(words, {})

    def _begin(self, words: tuple[str, ...], variables: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.environment.argv(*words, inventory=self.inventory),
            cwd=PROJECT,
            env={**self.environment.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _assert_second_ends(self, second: subprocess.Popen[str]) -> None:
        _, said = second.communicate(timeout=COMMAND_TIMEOUT)
        self.transcript += f"--- the second: {second.returncode}\n{said}\n"
        assert_that(second.returncode in (0, 3), f"the second deploy ended with {second.returncode}")
        if second.returncode == 3:
            assert_that(
                "the deploy lock is held by" in said or "an activation is running" in said, "it says not by whom"
            )

    def _stream(self) -> None:
        """A client that stays for a while, so that there is something to drain."""
        try:
            with urllib.request.urlopen(f"http://{self.victim.address}/stream?ms=25000", timeout=30) as answer:
                answer.read()
        except (http.client.HTTPException, OSError, ValueError):
            pass  # the instance that it streams from is killed

    # The verdict

    def _assert_outcome(self, words: tuple[str, ...], code: int, bad: str, before: str, aim: str) -> None:
        fault = self.case.cell.fault
        full = fault in ("disk-full", "inodes-full")
        for fixture in self.fixtures:
            fixture.stand_up()
            await_activation(fixture)
        allowed = {before, aim}
        if self._second is not None:
            allowed.add(GOOD[0])
        elif code == 0:
            allowed = {aim}
        elif code == 3 and fault not in LOCKED:
            allowed = {before}
        self._assert_all_well(frozenset(allowed))
        assert_lock_ends(self.environment, self.inventory, self.case.hosts, may_be_held=fault in LOCKED)
        if full:
            self._assert_refused_while_full(words)
            self._assert_all_well(frozenset(allowed))
            for fixture in self.fixtures:
                fixture.make_room()
        self.fab(*words, expect=4 if bad else 0)
        self._assert_all_well(
            frozenset({self._good_now() if bad else aim} if words[0] != "restart" else GOOD), ask_status=False
        )
        last = next(version for version in GOOD if version != self._good_now())
        self.fab("deploy", "--ref", self.runner.commits[last], expect=0)
        self._assert_all_well(frozenset({last}))
        for fixture in self.fixtures:
            assert_tidy(fixture)

    def _good_now(self) -> str:
        return str(assert_serves(self.fixtures[0], frozenset(GOOD))["version"])

    def _assert_all_well(self, versions: frozenset[str], *, ask_status: bool = True) -> None:
        served: dict[str, dict[str, Any]] = {}

        def ask() -> None:
            for fixture in self.fixtures:
                served[fixture.host] = assert_serves(fixture, versions)

        try:
            assert_soon(ask)
        except Broken:
            for fixture in self.fixtures:
                self.transcript += f"--- {fixture.host}\n{self._scene(fixture)}\n"
            raise
        if ask_status:
            assert_soon(lambda: assert_status_is_true(self.environment, self.inventory, served), 5)

    def _scene(self, fixture: HostFixture) -> str:
        return fixture.sh(
            f"ls -l {ROOT} {ROOT}/slots {ROOT}/releases {ROOT}/activation; "
            "systemctl --no-pager status 'hello@*' | head -n 60; "
            f"cat {ROOT}/activation/result; nft list table inet warpbeam_hello | grep redirect; "
            "journalctl --no-pager -n 60; df /opt; df -i /opt",
            check=False,
        )

    def _assert_refused_while_full(self, words: tuple[str, ...]) -> None:
        """Fail unless the same command refuses cleanly on a full disk."""
        # The command has given back the room that it kept for itself.
        inject_fault(self.case, self.victim, None, self.slot_before, self._second_deploy)
        done = self.environment.fab("-H", ",".join(self.case.hosts), *words, inventory=self.inventory, expect=None)
        self.transcript += f"--- while full, fab {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}\n"
        assert_that(done.returncode == 3, f"on a full disk the same command ended with {done.returncode}, expected 3")
