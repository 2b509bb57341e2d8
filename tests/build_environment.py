"""Helpers for tests of builds: the source, the build host, the last artifact."""

from __future__ import annotations

import shlex

from tests.environment import LabEnvironment
from warpbeam.build.artifact import Manifest

SRC = "/opt/acme/hello/build/src"


def write_source(environment: LabEnvironment, name: str, text: str) -> None:
    """A file of the source, committed with the next commit whatever .gitignore says."""
    file = environment.source / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    environment.git("add", "--force", name)


def change_mix_exs(environment: LabEnvironment, old: str, new: str) -> None:
    """Change mix.exs."""
    file = environment.source / "mix.exs"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def last_manifest(environment: LabEnvironment) -> Manifest:
    """The manifest of what was built last."""
    file = max(environment.store.directory.glob(f"{'?' * 20}.json"), key=lambda each: each.stat().st_mtime)
    found = environment.store.find(file.stem)
    assert found is not None
    return found.manifest


def on_build_host(environment: LabEnvironment, command: str) -> str:
    """Run a command in the build's source on the build host; return its output."""
    words = f"cd {SRC} && {{ {command}\n}}"
    return environment.lab.ssh("build1", f"sudo -u deploy bash -c {shlex.quote(words)}").stdout
