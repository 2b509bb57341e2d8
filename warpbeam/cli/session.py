"""The session of one `fab`: its environment, its hosts and its report."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from warpbeam.error import Misuse, addressed

if TYPE_CHECKING:
    from warpbeam.cli.report import Report
    from warpbeam.event import Event
    from warpbeam.fleet.fleet import Fleet
    from warpbeam.fleet.here import HereFleet
    from warpbeam.inventory.host_source import Answers
    from warpbeam.inventory.read import Reading
    from warpbeam.inventory.schema import Inventory


class Session:
    """The chosen environment, with its fleets and its report. `close` ends every connection.

    Parameters:
        environments: the inventory files, by environment name.
        project: the directory of fabfile.py; the default source of the app is the repository around it.
        only: the choice of hosts given with -H (warpbeam/inventory/choice.py); None: all hosts.
        default: the environment when no word of the command line names one, or empty.
        sudo_password: the password from `fab --prompt-for-sudo-password`, or empty.
    """

    def __init__(
        self,
        environments: dict[str, Path],
        project: Path,
        only: str | None = None,
        default: str = "",
        sudo_password: str = "",
    ) -> None:
        self.environments = environments
        self.project = project
        self.only = only
        self.chosen = default
        self.sudo_password = sudo_password
        self._readings: dict[str, Reading] = {}
        # Sources of hosts are asked once for a whole chain of tasks, whose environments may share them.
        self._answers: Answers = {}
        self._fleets: dict[str, Fleet] = {}
        self._local_fleets: dict[str, Fleet] = {}
        self._here_fleets: dict[str, HereFleet] = {}
        self._report: Report | None = None
        self._guard = RLock()

    @property
    def environment(self) -> str:
        """The name of the chosen environment.

        Raises:
            Misuse: none was chosen and there is more than one, or the chosen one does not exist.
        """
        others = sorted(set(self.environments) - {"demo"})
        name = self.chosen or (others[0] if len(others) == 1 else "")
        if not name:
            known = ", ".join(sorted(self.environments)) or "none: `fab init` writes one"
            raise Misuse(
                f"no environment is chosen; there is: {known}",
                "name it first, as in `fab demo status`, or set FABRIC_ENVIRONMENT",
            )
        if name not in self.environments:
            from warpbeam.inventory.decode import nearest

            raise Misuse(
                f"there is no environment {name!r}{nearest(name, self.environments)}",
                "there is: " + ", ".join(sorted(self.environments)),
            )
        return name

    def addressed(self, text: str) -> str:
        """Return `text` with the chosen environment's name, if any, in place of the ENV of `fab ENV`."""
        try:
            return addressed(text, self.environment)
        except Misuse:
            return text

    @property
    def inventory(self) -> Inventory:
        """The inventory of the chosen environment, narrowed to the hosts of -H."""
        return self.reading.inventory

    @property
    def reading(self) -> Reading:
        """The inventory, and where each of its values was written; it is read once."""
        from warpbeam.inventory.read import read

        name = self.environment
        if name not in self._readings:
            self._readings[name] = read(self.environments[name], self.only, self._answers)
        return self._readings[name]

    @property
    def fleet(self) -> Fleet:
        """The hosts of the chosen environment, with one connection a host and identity."""
        from warpbeam.fleet.fleet import Fleet

        name = self.environment
        if name not in self._fleets:
            self._fleets[name] = Fleet(self.inventory, self.sudo_password)
        return self._fleets[name]

    @property
    def local_fleet(self) -> Fleet:
        """This machine alone, in every role, with the settings of the chosen environment."""
        from warpbeam.fleet.fleet import LocalFleet

        name = self.environment
        if name not in self._local_fleets:
            self._local_fleets[name] = LocalFleet(self.inventory, self.sudo_password)
        return self._local_fleets[name]

    @property
    def here_fleet(self) -> HereFleet:
        """This machine as the build host, as the user of this process."""
        from warpbeam.fleet.here import HereFleet

        name = self.environment
        if name not in self._here_fleets:
            self._here_fleets[name] = HereFleet(self.inventory)
        return self._here_fleets[name]

    def begin_task(self) -> None:
        """Reset options that belong to the previous task alone (`--jobs`)."""
        for fleet in self._open:
            fleet.set_jobs("")

    @property
    def report(self) -> Report:
        """The report, made at its first use."""
        from warpbeam.cli.report import Report

        # Two threads, or a signal handler in the middle of this, may emit the first event.
        with self._guard:
            if self._report is None:
                self._report = Report(self.addressed, lambda: self.waits_for)
            return self._report

    def emit(self, event: Event) -> None:
        """Show one event, by `Report.emit`; the report is imported only at the first event."""
        self.report.emit(event)

    @property
    def waits_for(self) -> dict[str, str]:
        """The busy hosts of every fleet, like `Fleet.waits_for`; takes no lock."""
        return {name: what for fleet in self._open for name, what in fleet.waits_for.items()}

    @property
    def _open(self) -> list[Fleet]:
        return [*self._fleets.values(), *self._local_fleets.values(), *self._here_fleets.values()]

    def close(self) -> None:
        """End the live display and every connection."""
        if self._report is not None:
            self._report.close()
        for fleet in self._open:
            fleet.close()


def session(c: Any) -> Session:
    """Return the session of a task's context.

    Raises:
        invoke.Exit: Warpbeam's executor did not run the task. (The stock executor would show any other error as a
            traceback.)
    """
    found = getattr(c, "session", None)
    if not isinstance(found, Session):
        from invoke import Exit

        from warpbeam.cli.screen import error_text

        raise Exit(
            error_text(
                "this task needs Warpbeam's executor",
                "`warpbeam-init` writes fabric.yaml, which names it; or copy Warpbeam's beside fabfile.py",
            ),
            code=Misuse.code,
        )
    return found
