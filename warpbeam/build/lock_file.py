"""Dependencies of a source, as its mix.lock locks them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from warpbeam.build.artifact import Dependency
from warpbeam.build.source import Source, read_lock_file

# Far more than any app has; a lock file of a stranger's must not make the manifest endless.
MOST = 5000
LONGEST = 500
# Mix writes one dependency a line (Mix.Dep.Lock).
# An older Mix writes the first one after the opening `%{`.
ENTRY = re.compile(r'^\s*(?:%\{)?\s*"(?P<name>[^"\\]{1,200})":\s*\{:(?P<kind>hex|git), (?P<rest>.*)\},?\}?$')
HEX = re.compile(r':"?(?P<package>[A-Za-z0-9_.-]+)"?, "(?P<version>[^"\\]+)"(?:, "(?P<inner>[0-9a-f]{64})")?')
# The end of a newer entry, after the versions that the package itself needs.
HEX_END = re.compile(r', "(?P<repository>[^"\\]{1,200})"(?:, "(?P<outer>[0-9a-f]{64})")?\Z')
GIT = re.compile(r'"(?P<url>[^"\\]+)", "(?P<commit>[0-9a-f]{40,64})", .*')
# A password or a token in a URL.
USER = re.compile(r"(?<=://)[^/@]*@")


def locked_dependencies(source: Source) -> tuple[Dependency, ...]:
    """Return the dependencies of a source's mix.lock; none where it has no such file."""
    return read_lock(read_lock_file(source))


def read_lock(text: str) -> tuple[Dependency, ...]:
    """Return the dependencies that the text of a mix.lock locks, by name; entries of unknown kinds are left out."""
    found = {dependency.name: dependency for dependency in _entries(text)}
    return tuple(found[name] for name in sorted(found)[:MOST])


def _entries(text: str) -> Iterator[Dependency]:
    for line in text.splitlines():
        entry = ENTRY.match(line.rstrip()) if len(line) < 100_000 else None
        if entry is None:
            continue
        if entry["kind"] == "hex" and (match := HEX.match(entry["rest"])):
            end = HEX_END.search(entry["rest"][match.end() :][-400:])
            # The outer checksum is that of the package's file; lock files of Hex before 0.20 have the inner one alone.
            digest = (end and end["outer"]) or match["inner"] or ""
            yield _bounded(match["package"], match["version"], digest, end["repository"] if end else "hexpm")
        elif entry["kind"] == "git" and (match := GIT.fullmatch(entry["rest"])):
            yield _bounded(entry["name"], match["commit"], "", USER.sub("", match["url"]))


def _bounded(name: str, version: str, sha256: str, origin: str) -> Dependency:
    printable = "".join(letter for letter in origin if letter.isprintable())
    return Dependency(name[:LONGEST], version[:LONGEST], sha256, printable[:LONGEST])
