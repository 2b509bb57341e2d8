"""A revision of AWS CodeDeploy: a bundle as a tgz, with the file and the hooks that CodeDeploy's agent looks for."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from warpbeam.build.digest import file_lines
from warpbeam.deploy.plan import NAME
from warpbeam.integrate.bundle import WAIT_SECONDS, Bundle

# The agent calls these in this order. It has no hook of ours to run before them: `ApplicationStop` would stop the
# release that serves. Seconds: the agent ends a hook that takes longer; an event may take an hour in all.
HOOKS = (
    ("BeforeInstall", "before_install", "preflight", WAIT_SECONDS + 300),
    ("AfterInstall", "after_install", "upload", 1800),
    ("ApplicationStart", "application_start", "activate", 3600),
    ("ValidateService", "validate_service", "validate", 3600),
)
HOOK = """#!/bin/bash
# {event} of CodeDeploy: runs {verb} of this bundle as the deploy user.
exec /bin/bash "$(dirname -- "$0")/../warpbeam/run" {verb}
"""
BY_HAND = """#!/bin/bash
# Deploys this bundle on this host, as CodeDeploy's agent would. Run it as root or as the deploy user.
set -eu
cd -- "$(dirname -- "$0")"
for hook in {hooks}; do "./hooks/$hook"; done
"""


def app_spec() -> str:
    """Return the text of appspec.yml.

    It names no files: the agent would delete those of the previous revision before it copies new ones.
    """
    lines = ["version: 0.0", "os: linux", "hooks:"]
    for event, name, _, timeout in HOOKS:
        lines += [f"  {event}:", f"    - location: hooks/{name}", f"      timeout: {timeout}"]
    return "\n".join(lines) + "\n"


def members(bundle: Bundle) -> Iterator[tuple[str, int, bytes | Path]]:
    """Yield the name, the mode and the content (or its file) of each file of the revision."""
    artifact = bundle.artifact
    yield "appspec.yml", 0o644, app_spec().encode()
    for event, name, verb, _ in HOOKS:
        yield f"hooks/{name}", 0o755, HOOK.format(event=event, verb=verb).encode()
    yield "deploy", 0o755, BY_HAND.format(hooks=" ".join(name for _, name, _, _ in HOOKS)).encode()
    yield "warpbeam/run", 0o755, bundle.run.encode()
    yield "warpbeam/program", 0o644, bundle.program.encode()
    yield "warpbeam/files", 0o644, file_lines(artifact)
    yield "warpbeam/manifest.json", 0o644, msgspec.json.encode(artifact.manifest)
    if bundle.signature:
        yield "warpbeam/signature", 0o644, bundle.signature.encode()
    yield "warpbeam/release.tar.gz", 0o644, artifact.tarball


def write_revision(bundle: Bundle, file: IO[bytes]) -> None:
    """Write the revision to `file`: every member belongs to root, since the agent keeps owners and modes."""
    made = int(datetime.strptime(bundle.release, NAME).replace(tzinfo=UTC).timestamp())
    # The tarball within is compressed already.
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        for name, mode, content in members(bundle):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = mode, made
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            if isinstance(content, Path):
                entry.size = content.stat().st_size
                with content.open("rb") as opened:
                    archive.addfile(entry, opened)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
