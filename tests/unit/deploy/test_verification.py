"""Verdicts on a host's comparison of a release with its manifest."""

from __future__ import annotations

import msgspec

from tests.unit.deploy.test_plan import artifact
from warpbeam.build.artifact import Artifact, Item
from warpbeam.build.digest import digests
from warpbeam.deploy.verify import Verdict

GOOD = Verdict("20261123T120000Z", "a" * 64, "a" * 64, (), 0)


def test_a_release_that_is_as_root_noted_and_this_machine_built_it_has_no_flaw() -> None:
    assert GOOD.flaws() == GOOD.flaws(("a" * 64,)) == ()
    assert msgspec.structs.replace(GOOD, recorded="").flaws(("b" * 64, "a" * 64)) == ()


def test_a_manifest_that_fits_neither_is_a_flaw() -> None:
    other = msgspec.structs.replace(GOOD, recorded="b" * 64)

    assert other.flaws(("a" * 64,)) == ("changed: its manifest is not that with which it was put live",)
    assert GOOD.flaws(("b" * 64, "c" * 64)) == (
        "changed: its manifest is not that of the artifact that this machine built",
    )


def test_flaws_that_were_not_told_are_counted() -> None:
    assert msgspec.structs.replace(GOOD, differs=("added: 'x'",), count=3).flaws() == ("added: 'x'", "and 2 more")


def test_links_count_in_what_a_release_is() -> None:
    made = artifact()
    linked = (*made.manifest.files, Item("bin/link", "777", 0, "", "hello"))
    other = Artifact(made.tarball, msgspec.structs.replace(made.manifest, files=linked))

    assert digests(made)[0] != digests(other)[0]
    # Without links, both releases have the same files.
    assert digests(made)[2] == digests(other)[2]


def test_the_name_by_which_a_release_is_started_counts_in_what_it_is() -> None:
    made = artifact()
    other = Artifact(made.tarball, msgspec.structs.replace(made.manifest, release="worker"))

    assert digests(made)[0] != digests(other)[0]
    # A release of an earlier Warpbeam says neither its kind nor its name.
    assert digests(made)[1:] == digests(other)[1:]
