"""What tests of building ask: of the source, of the build host, of what was built last."""

from __future__ import annotations

import shlex

from tests.stage import Stage
from warpbeam.build.artifact import Manifest

SRC = "/opt/acme/hello/build/src"


def write(stage: Stage, name: str, text: str) -> None:
    """A file of the source, committed with the next commit whatever .gitignore says."""
    file = stage.source / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    stage.git("add", "--force", name)


def mix(stage: Stage, old: str, new: str) -> None:
    """Change mix.exs."""
    file = stage.source / "mix.exs"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def manifest(stage: Stage) -> Manifest:
    """The manifest of what was built last."""
    file = max(stage.store.directory.glob("*.json"), key=lambda each: each.stat().st_mtime)
    found = stage.store.find(file.stem)
    assert found is not None
    return found.manifest


def on_build_host(stage: Stage, command: str) -> str:
    """What a command in the build's source says there."""
    words = f"cd {SRC} && {{ {command}\n}}"
    return stage.lab.ssh("build1", f"sudo -u deploy bash -c {shlex.quote(words)}").stdout
