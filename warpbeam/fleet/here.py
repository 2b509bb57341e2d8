"""This machine as the build host of an environment, as the user of this process: what a CI runner is."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from warpbeam.environ import for_shell
from warpbeam.error import Failed, Problem, Refused
from warpbeam.event import Emit
from warpbeam.fleet.fleet import LocalFleet
from warpbeam.fleet.shells import Identity
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.shell import Shell

# The last lines of rsync that a message shows.
LAST_LINES = 10


@contextmanager
def named_here() -> Iterator[None]:
    """Name this machine in the problems of builds: their scripts speak of a build host, wherever they run."""
    try:
        yield
    except Problem as problem:
        problem.reason, problem.hint = _of_here(problem.reason), _of_here(problem.hint)
        raise


def _of_here(text: str) -> str:
    return re.sub(r"\b(the|this|a) build host\b", "this machine", text)


class HereFleet(LocalFleet):
    """This machine as the only host, as the user of this process; builds are in that user's cache directory."""

    def __init__(self, inventory: Inventory) -> None:
        # A build is the same for every host.
        super().__init__(msgspec.structs.replace(inventory, build_root=str(build_root(inventory)), own={}))

    def make_root(self) -> None:
        """Make the directory of builds. Raises: Refused, where that is not possible."""
        directory = Path(self.inventory.build_root) / "build"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            hint = "it is below XDG_CACHE_HOME, or else below ~/.cache"
            raise Refused(f"{directory} cannot be made for builds: {error.strerror}", hint) from None

    def rsync(self, host: Host, directory: Path, target: str, leave_out: Sequence[str], emit: Emit) -> None:
        """Make `target` like `directory`, both on this machine. Raises: Refused, Failed."""
        from warpbeam.ssh.rsync import rules

        with tempfile.NamedTemporaryFile("wb", suffix=".exclude") as excluded:
            excluded.write(rules(leave_out))
            excluded.flush()
            argv = ["rsync", "-a", "--delete", f"--exclude-from={excluded.name}", "--", f"{directory}/", f"{target}/"]
            own = {name: value for name, value in for_shell().items() if not name.startswith("RSYNC_")}
            try:
                done = subprocess.run(argv, capture_output=True, text=True, check=False, env=own)  # noqa: S603
            except FileNotFoundError:
                raise Refused("copying a working tree takes rsync, which is not installed here") from None
        if done.returncode:
            raise Failed(
                f"rsync of the working tree failed with status {done.returncode}",
                "",
                tuple(done.stderr.splitlines()[-LAST_LINES:]),
            )

    def _connect(self, host: Host, identity: Identity) -> Shell:
        from warpbeam.host.local import local_shell

        shell = local_shell()
        shell.name = host.name
        return shell


def build_root(inventory: Inventory) -> Path:
    """Return the directory of this user's builds of the app: outside of any repository, which a build could find."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "warpbeam" / "builds" / f"{inventory.org}-{inventory.app}"
