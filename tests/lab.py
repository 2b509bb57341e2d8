"""A lab that runs, as tests use it: a shell on each host, and the accidents that can befall one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Lock

from tests.timeouts import LONG
from warpbeam.event import Event
from warpbeam.lab import cgroup, disk, lifetime
from warpbeam.lab.client import config_file, key_file, ssh_argv
from warpbeam.lab.state import SUITES, HostSpec, Suite, check_suite

# Tests of the system itself run on both Debians, every other file on one: those of ON_TRIXIE on Debian 13,
# the rest on Debian 12. A file keeps its Debian wherever it lies, and whatever files come and go beside it: some tests
# hold on one Debian only.
SHARED = "shared"
ON_BOTH = frozenset(
    [
        "test_build",
        "test_filter",
        "test_firewall",
        "test_hardening",
        "test_identities",
        "test_setup",
        "test_unit",
    ]
)
ON_TRIXIE = frozenset(
    [
        "test_answers",
        "test_balancer",
        "test_belonging",
        "test_bounds",
        "test_build_content",
        "test_build_surroundings",
        "test_connection",
        "test_cookie",
        "test_crash",
        "test_environment",
        "test_faults",
        "test_health",
        "test_helper_lock",
        "test_hooks",
        "test_interrupt",
        "test_journal",
        "test_lab",
        "test_lab_power",
        "test_local",
        "test_login",
        "test_maintenance",
        "test_page",
        "test_race",
        "test_reboot",
        "test_requests",
        "test_rolling",
        "test_sandbox",
        "test_screen",
        "test_trust",
        "test_wheel",
    ]
)
KEPT = os.environ.get("WARPBEAM_KEEP_LAB") == "1"


def base_name() -> str:
    """Return the beginning of the names of this run's labs."""
    return os.environ.get("WARPBEAM_TEST_LAB", "wbtest")


def claim() -> int | None:
    """Take a name for the labs of this run, and of its processes, that no other run on this machine has now.

    It is WARPBEAM_TEST_LAB, or the first of wbtest, wbtest2 and so on that is free: this run's until the descriptor
    that is returned is closed, as it is when this process ends. None: another run has WARPBEAM_TEST_LAB.
    """
    names = [base_name()]
    if "WARPBEAM_TEST_LAB" not in os.environ:
        names += [f"{names[0]}{number}" for number in range(2, 10)]
    for name in names:
        file = Path(tempfile.gettempdir()) / f"warpbeam-{name}.lock"
        held = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        os.environ["WARPBEAM_TEST_LAB"] = name
        return held
    return None


def chosen_suites() -> tuple[Suite, ...]:
    """The Debians to run on, of WARPBEAM_TEST_SUITE. Raises `Misuse` for one that there is not."""
    word = os.environ.get("WARPBEAM_TEST_SUITE") or SUITES[0]
    return SUITES if word in ("both", SHARED) else (check_suite(word),)


def suites_of(file: Path) -> tuple[Suite, ...]:
    """The Debians that the tests of a file run on; where the Debians share the files, one for most."""
    if os.environ.get("WARPBEAM_TEST_SUITE") != SHARED or file.stem in ON_BOTH:
        return chosen_suites()
    return (SUITES[1 if file.stem in ON_TRIXIE else 0],)


def lab_name(suite: Suite, process: str = "") -> str:
    """The lab of that suite that a process of the run has to itself: no two run tests in one.

    Parameters:
        process: which of several (`gw0`, as pytest-xdist names it); empty where there is but one.
    """
    return f"{base_name()}{process.replace('gw', 'w')}{'' if suite == SUITES[0] else suite[0]}"


def own_name(process: str = "") -> str:
    """The lab that a process of the run makes and breaks again and again (tests/hosts/lab/test_lab.py)."""
    return f"o{lab_name(SUITES[0], process)}"


def labs_of(process: str) -> tuple[str, ...]:
    """Every lab that a process of the run may have made."""
    return (own_name(process), *(lab_name(suite, process) for suite in SUITES))


def emit(event: Event) -> None:
    """Print an event of the lab: pytest shows it when a test fails."""
    print(event, file=sys.stderr)


class Connections:
    """One ssh connection to each host of a lab, for the commands of the tests' own (ssh_config(5), ControlMaster).

    A handshake and a login for each command take ten times the processor time of the command.
    """

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self._directory = tempfile.mkdtemp(prefix="warpbeam-ssh-")
        self._masters: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
        self._guard = Lock()

    def options(self, host: str) -> tuple[str, ...]:
        """Return options that make ssh use the connection; none where there is none, so ssh itself says why."""
        path = Path(self._directory, host)
        with self._guard:
            leader = cgroup.leader(self._lab, host)
            began, master = self._masters.get(host, (0, None))
            # A host that was off since has forgotten the connection, and would not answer.
            if master is None or began != leader or master.poll() is not None:
                self._end(host)
                if not leader or not self._begin(host, leader, path):
                    return ()
        return ("-S", str(path))

    def close(self) -> None:
        """End all of them."""
        with self._guard:
            for host in [*self._masters]:
                self._end(host)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _begin(self, host: str, leader: int, path: Path) -> bool:
        alive = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
        words = ("-M", "-N", "-S", str(path), "-l", "admin", "-o", "BatchMode=yes", *alive, host)
        null = subprocess.DEVNULL
        master = subprocess.Popen((*ssh_argv(self._lab, host)[:-1], *words), stdin=null, stdout=null, stderr=null)
        self._masters[host] = (leader, master)
        end = time.monotonic() + LONG
        while not path.exists():
            if master.poll() is not None or time.monotonic() > end:
                self._end(host)
                return False
            time.sleep(0.02)
        return True

    def _end(self, host: str) -> None:
        _, master = self._masters.pop(host, (0, None))
        if master is not None:
            master.kill()
            master.wait()
        Path(self._directory, host).unlink(missing_ok=True)


class LabHandle:
    """A lab that runs, as tests use it.

    Parameters:
        connections: what `ssh` shares between its commands as admin; None: each command logs in by itself.
    """

    def __init__(self, name: str, suite: Suite, connections: Connections | None = None) -> None:
        self.name = name
        self.suite = suite
        self._connections = connections
        self.ssh_config = config_file(name)
        self.key = key_file(name)

    def up(self, *hosts: HostSpec, opt_size: int = disk.OPT_SIZE) -> None:
        """Boot `hosts`, in addition to those that the lab has; each new one's /opt has `opt_size` MiB."""
        lifetime.up(self.name, hosts, self.suite, emit, opt_size)

    def down(self) -> None:
        """Remove the lab."""
        self.disconnect()
        lifetime.down(self.name, emit)

    def disconnect(self) -> None:
        """End the connections of the tests' own."""
        if self._connections:
            self._connections.close()

    def status(self, host: str) -> lifetime.HostStatus:
        """Return the state of the host."""
        return next(found for found in lifetime.status(self.name) if found.name == host)

    def address(self, host: str) -> str:
        """The host's IPv4 address."""
        return self.status(host).address4

    def address6(self, host: str) -> str:
        """The host's IPv6 address."""
        return self.status(host).address6

    def ssh(
        self, host: str, command: str, user: str = "admin", *, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host; fails the test when that fails, unless `check` is false."""
        shared = self._connections.options(host) if self._connections and user == "admin" else ()
        argv = (*ssh_argv(self.name, host)[:-1], *shared, "-l", user, "-o", "BatchMode=yes", host, command)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=LONG, check=False)
        if check:
            assert done.returncode == 0, f"{command!r} on {host}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def crash(self, host: str) -> None:
        """End the host; what it wrote survives."""
        lifetime.crash(self.name, host, emit)

    def power_loss(self, host: str) -> None:
        """End the host; what it had not synced to /opt is lost."""
        lifetime.power_loss(self.name, host, emit)

    def boot(self, host: str) -> None:
        """Boot the host, and wait until one can log in."""
        lifetime.boot(self.name, host, emit)
