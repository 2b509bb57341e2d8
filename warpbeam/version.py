"""The version of Warpbeam itself, and the versions that an inventory accepts."""

from __future__ import annotations

# CHANGELOG.md says what each version changes (semver.org). pyproject.toml has the same number; a test compares them.
VERSION = "0.2.0"


def is_accepted(requirement: str) -> bool:
    """Return whether this version meets `requirement`, such as `>=0.2,<1` (PyPA specification, "Version specifiers").

    Raises: ValueError, where `requirement` is not valid.
    """
    # Imported only for an inventory that has a requirement: every `fab` reads its inventory first.
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(requirement).contains(VERSION, prereleases=True)
