"""The digest of a release: of every file, link, and its kind. A host computes the same from what it has."""

from __future__ import annotations

import hashlib

from warpbeam.build.artifact import Artifact
from warpbeam.runtime.kinds import described


def file_lines(artifact: Artifact) -> bytes:
    """Return the artifact's regular files as the host compares and verifies them: lines `MODE SHA256  PATH`."""
    return "".join(f"{item.mode} {item.sha256}  {item.path}\n" for item in artifact.files).encode()


def links_of(artifact: Artifact) -> tuple[str, ...]:
    """Return for each link its path, then its target."""
    return tuple(text for item in artifact.manifest.files if item.link for text in (item.path, item.link))


def kind_of(artifact: Artifact) -> str:
    """Return the text that says beside the release of which kind it is, and its name."""
    return described(artifact.manifest.flavor, artifact.manifest.release)


def digests(artifact: Artifact) -> tuple[str, ...]:
    """Return the digest of all that a host keeps about a release's content, as verify.sh has it; then two of less.

    The first is that of the sums of manifest, links and kind. The others are for hosts where an earlier version of
    Warpbeam kept no kind, or no list of the links either.
    """
    links = "".join(f"{text}\n" for text in links_of(artifact)).encode()
    files = file_lines(artifact)
    kept = {"manifest": files, "links": links, "runtime": kind_of(artifact).encode()}
    sums = "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in kept.items()).encode()
    return tuple(hashlib.sha256(text).hexdigest() for text in (sums, files + links, files))
