"""Git's attributes: they decide, together with a tree, which bytes leave git."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from warpbeam.build.archive import archive_digest
from warpbeam.build.git import run_git, texts_of
from warpbeam.build.lfs import check_objects
from warpbeam.error import Refused

# Attributes that change the content of an archive (gitattributes(5)): text that depends on the commit, and filters.
SUBST = re.compile(r"\sexport-subst(\s|$)", re.MULTILINE)
FILTER = re.compile(r"^[^#\n]*\sfilter=(\S+)", re.MULTILINE)


def sent_with_commit(top: Path, commit: str, prefix: str, tree: str, modes: dict[str, str], own: Path) -> str:
    """Return a digest of what decides, together with the tree, the bytes of the archive; empty for the tree alone.

    Parameters:
        own: the attributes file of this clone alone; git has no option to ignore it.

    Raises:
        Refused: files need a filter that this machine's git does not know, or contents of LFS that are not here: their
            pointers would be sent in their place.
    """
    # The attributes in directories above the source apply to it and are not in its tree.
    outside = [f"{commit}:{path}.gitattributes" for path in parents(prefix)]
    inside = [f"{tree}:{name}" for name in modes if name.rpartition("/")[2] == ".gitattributes"]
    found = [text or "" for text in texts_of(top, [*outside, *inside])]
    above, texts = found[: len(outside)], [text for text in found if text]
    with_own = own.read_bytes() if own.is_file() else b""
    if with_own.strip():
        texts.append(with_own.decode("utf-8", "replace"))
    filters = sorted({name for text in texts for name in FILTER.findall(text)})
    known = run_git(top, "config", "--get-regexp", r"^filter\..*\.(smudge|process)$").stdout.decode() if filters else ""
    for name in filters:
        if f"filter.{name}." not in known:
            raise Refused(
                f"git on this machine does not know the filter {name!r}, through which .gitattributes has files go",
                "`git lfs install` once, after installing git-lfs" if name == "lfs" else "install and configure it",
            )
    if "lfs" in filters:
        check_objects(top, commit, prefix.rstrip("/"), known)
    # An archive can name the commit's tags (`$Format:%(describe)$`), which can change although the commit does not.
    archived = archive_digest(top, commit, prefix) if any(map(SUBST.search, texts)) else ""
    decisive = [with_own.hex(), known, *([archived] if archived else []), *filter(None, above)]
    return hashlib.sha256("\0".join(decisive).encode()).hexdigest() if any(decisive) else ""


def parents(prefix: str) -> list[str]:
    """Return the directories above the source, the nearest first, the top of the repository last (as empty text)."""
    parts = prefix.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) - 1, -1, -1)]
