"""The host of a case: as root sees it, at once and without ssh, and what can be done to it."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from tests.lab import LabHandle, emit
from warpbeam.lab import lifetime

ROOT = "/opt/acme/hello"
FILLER = "/opt/.filler"
# Inodes that are free while nothing is filled: so few that using them up takes a moment.
SPARE_INODES = 3000
TABLE = "inet warpbeam_fault"


class HostFixture:
    """One host of the lab. `mend` takes back whatever was done to it."""

    def __init__(self, lab: LabHandle, host: str) -> None:
        self.lab = lab
        self.host = host
        self.address = lab.address(host)
        self._scarce = False
        self._booting: threading.Thread | None = None

    def sh(self, script: str, *, check: bool = True, timeout: float = 60) -> str:
        """Run bash as root in the host's own namespaces; what it prints."""
        pid = self.lab.status(self.host).pid
        assert pid, f"{self.host} is off"
        done = subprocess.run(
            ["nsenter", f"--target={pid}", "--all", "--", "bash", "-c", f"cd /; export LC_ALL=C; {script}"],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"{self.host}: {script}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    @property
    def live_slot(self) -> str:
        """The slot that `current` names, or empty."""
        text = self.sh(f"readlink {ROOT}/current", check=False).strip()
        return text.removeprefix("slots/") if text in ("slots/a", "slots/b") else ""

    def kill(self, slot: str) -> None:
        """End the instance in a slot as the out-of-memory killer would."""
        self.sh(f"systemctl kill --signal=KILL hello@{slot}", check=False)

    def fill_disk(self) -> None:
        """Leave no byte of /opt to anybody but root."""
        self.sh(
            f"fallocate -l $(($(df --output=avail -B1 /opt | tail -n 1) * 99 / 100)) {FILLER} && "
            f"setpriv --reuid=deploy --clear-groups true && install -o deploy -m 600 /dev/null {FILLER}.rest && "
            f"setpriv --reuid=deploy --clear-groups dd if=/dev/zero bs=64k status=none >>{FILLER}.rest",
            check=False,
        )
        free = int(self.sh("df --output=avail -B1 /opt | tail -n 1"))
        assert free < 65536, f"{free} bytes are left"

    def make_inodes_scarce(self) -> None:
        """Use up most inodes beforehand, so that `fill_inodes` takes no time."""
        if not self._scarce:
            self._touch(f"{FILLER}.most", f"$(($(df --output=iavail /opt | tail -n 1) - {SPARE_INODES}))")
            self._scarce = True

    def fill_inodes(self) -> None:
        """Leave no inode of /opt."""
        self._touch(f"{FILLER}.inodes", "$(df --output=iavail /opt | tail -n 1)")

    def _touch(self, directory: str, count: str) -> None:
        self.sh(
            f"mkdir -p {directory} && cd {directory} && "
            f"seq -f $(date +%s%N)-%.0f {count} | xargs -n 500 touch 2>/dev/null; true",
            timeout=300,
        )

    def make_room(self) -> None:
        """Undo `fill_disk` and `fill_inodes`."""
        self.sh(f"rm -rf {FILLER} {FILLER}.rest {FILLER}.inodes")

    def give_inodes_back(self) -> None:
        """Undo `make_inodes_scarce`."""
        if self._scarce:
            self.sh(f"rm -rf {FILLER}*", timeout=300)
            self._scarce = False

    def cut(self, *, reset: bool) -> None:
        """Drop each packet of ssh between this machine and the host; or (`reset`) answer it by a reset."""
        verdict = "reject with tcp reset" if reset else "drop"
        rules = f"""
            table {TABLE}_{self.host} {{
                chain out {{
                    type filter hook output priority 0; policy accept;
                    ip daddr {self.address} tcp dport 22 {verdict}
                }}
                chain in {{
                    type filter hook input priority 0; policy accept;
                    ip saddr {self.address} tcp sport 22 {verdict}
                }}
            }}
        """
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def lift(self) -> None:
        """Undo `cut`."""
        text = f"table {TABLE}_{self.host} {{}}; delete table {TABLE}_{self.host}"
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

    def fall(self, *, power: bool) -> None:
        """Crash, or lose power; and boot again by itself a second later, as machines do."""
        (self.lab.power_loss if power else self.lab.crash)(self.host)

        def boot() -> None:
            time.sleep(1)
            lifetime.boot(self.lab.name, self.host, emit)

        self._booting = threading.Thread(target=boot)
        self._booting.start()

    def set_clock_back(self) -> None:
        """Every `date` of a script says an hour ago: the kernel's clock is that of this machine."""
        self.sh(
            "printf '%s\\n' '#!/bin/bash' 'exec /usr/bin/date --date=\"1 hour ago\" \"$@\"' >/usr/local/bin/date && "
            "chmod 755 /usr/local/bin/date"
        )

    def stand_up(self) -> None:
        """Take back whatever was done to the connection and the machine: it runs again afterwards."""
        self.lift()
        if self._booting is not None:
            self._booting.join()
            self._booting = None
        self.lab.boot(self.host)
        self.sh("rm -f /usr/local/bin/date")


def clock_back(directory: Path) -> dict[str, str]:
    """Variables for a `fab` whose clock is an hour back: Python loads `sitecustomize` by itself."""
    (directory / "sitecustomize.py").write_text(
        """
import datetime, time
HOUR = 3600
real = time.time
time.time = lambda: real() - HOUR
class Earlier(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) - datetime.timedelta(seconds=HOUR)
datetime.datetime = Earlier
"""
    )
    return {"PYTHONPATH": str(directory)}
