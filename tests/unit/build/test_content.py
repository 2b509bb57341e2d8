"""The rules for what a release may hold, each with the smallest manifest that breaks it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.build import content
from warpbeam.build.artifact import Item
from warpbeam.build.content import shown, violation

DIGEST = "0" * 64


def file(path: str, mode: str = "644", size: int = 1, sha256: str = DIGEST) -> Item:
    return Item(path, mode, size, sha256)


def link(path: str, target: str) -> Item:
    return Item(path, "777", 0, "", target)


SOUND = {
    "nothing": (),
    "files": (file("bin/hello", "755"), file("lib/a/b/c"), file("start", size=0)),
    "odd names": tuple(
        file(f"priv/{name}")
        for name in (" ", "a b", "-rf", "*", "'", '"', "$(id)", "\\n", "...", "..a", "a..", "~", "caf\u00e9", "\u6c49")
    ),
    "the longest names": (file("x" * 255), file("/".join(["y" * 255] * 16)[:4095])),
    "a name like ours": (file(".warpbeams"), file("lib/.warpbeam/x"), file("a.warpbeam"), file(".warp/beam")),
    "a link beside": (file("a"), link("b", "a")),
    "a link upwards": (file("bin/x"), link("lib/y/z", "../../bin/x")),
    "a link to a directory": (file("lib/a/x"), link("lib/b", "a")),
    "a link to the top": (link("lib/top", ".."),),
    "a link to nothing": (link("a", "lib/nothing"),),
    "a link through a link": (link("a", "b/../c"), link("b", "lib/d"), file("lib/c")),
    "slashes and dots": (link("a", "./lib//x/./"),),
    "a link that is named like a way": (link("lib/a", "b/../../lib/c"),),
}


@pytest.mark.parametrize("files", SOUND.values(), ids=SOUND)
def test_what_a_release_may_hold_has_no_flaw(files: tuple[Item, ...]) -> None:
    assert violation(files) == ""


EMPTY = {
    "beside files": (("lib/b", "priv/x/y"), ""),
    "odd names": ((" ", "-rf", "*", "$(id)", "caf\u00e9"), ""),
    "climbing": (("lib/..",), "'lib/..' is no name below the release"),
    "absolute": (("/etc",), "'/etc' is no name below the release"),
    "ours": ((".warpbeam/x",), "'.warpbeam/x' has a name that is Warpbeam's own"),
    "a line end": (("a\nb",), "'a\\nb' has a control character in its name"),
    "no UTF-8": (("a\udcff",), "has a name that is not UTF-8"),
    "twice": (("a", "a"), "'a' is there twice"),
    "a file": (("lib/a",), "'lib/a' is there twice"),
    "a link": (("lib/link",), "'lib/link' is there twice"),
    "below a file": (("lib/a/x",), "'lib/a/x' is below 'lib/a', which is a file"),
    "below a link": (("lib/link/x",), "'lib/link/x' is below 'lib/link', which is a link"),
    "not empty": (("lib",), "'lib/a' is below 'lib', which is a directory with nothing in it"),
    "one in another": (("x", "x/y"), "'x/y' is below 'x', which is a directory with nothing in it"),
    "too many": (tuple(str(number) for number in range(10_001)), "it has 10001 empty directories, more than 10000"),
}


@pytest.mark.parametrize(("directories", "told"), EMPTY.values(), ids=EMPTY)
def test_an_empty_directory_is_one_and_lies_below_nothing_else(directories: tuple[str, ...], told: str) -> None:
    said = violation((file("lib/a"), link("lib/link", "a")), directories)

    assert said == told if not told else told in said


OUTSIDE = "which is outside of the release"
FLAWED = {
    "no name": ((file(""),), "'' is no name below the release"),
    "absolute": ((file("/etc/passwd"),), "'/etc/passwd' is no name below the release"),
    "climbing": ((file("../x"),), "'../x' is no name below the release"),
    "climbing inside": ((file("a/../b"),), "'a/../b' is no name below the release"),
    "a dot": ((file("./x"),), "'./x' is no name below the release"),
    "two slashes": ((file("a//b"),), "'a//b' is no name below the release"),
    "a slash at the end": ((file("a/"),), "'a/' is no name below the release"),
    "a NUL": ((file("a\0b"),), "'a\\x00b' has a control character"),
    "a line end": ((file("a\nb"),), "'a\\nb' has a control character"),
    "an escape": ((file("a\x1b[2J"),), "'a\\x1b[2J' has a control character"),
    "DEL": ((file("a\x7f"),), "'a\\x7f' has a control character"),
    "C1": ((file("a\x9b2J"),), "'a\\x9b2J' has a control character"),
    "no UTF-8, replaced": ((file("a\ufffd"),), "has a name that is not UTF-8"),
    "no UTF-8, escaped": ((file("a\udcff"),), "'a\\udcff' has a name that is not UTF-8"),
    "a long name": ((file("x" * 256),), "has too long a name"),
    "a long name in bytes": ((file("\u00e9" * 128),), "has too long a name"),
    "a long path": ((file("/".join(["x"] * 2049)),), "has too long a name"),
    "ours": ((file(".warpbeam/healthy"),), "'.warpbeam/healthy' has a name that is Warpbeam's own"),
    "ours, a file": ((file(".warpbeam"),), "'.warpbeam' has a name that is Warpbeam's own"),
    "ours, in capitals": ((file(".WarpBeam/x"),), "'.WarpBeam/x' has a name that is Warpbeam's own"),
    "ours, a link": ((link(".warpbeam", "lib"),), "'.warpbeam' has a name that is Warpbeam's own"),
    "set-user-ID": ((file("a", "4755"),), "'a' has mode '4755'"),
    "no octal": ((file("a", "789"),), "'a' has mode '789'"),
    "a line end after a mode": ((file("a", "644\n"),), "'a' has mode '644\\n'"),
    "group writable": ((file("a", "664"),), "'a' has mode 664: others than its owner may write it"),
    "world writable": ((file("a", "666"),), "'a' has mode 666: others than its owner may write it"),
    "negative": ((file("a", size=-1),), "'a' has -1 bytes"),
    "no checksum": ((file("a", sha256=""),), "'a' has the checksum ''"),
    "a checksum and a line more": ((file("a", sha256=f"{DIGEST}\n644"),), "'a' has the checksum"),
    "capitals": ((file("a", sha256="A" * 64),), "'a' has the checksum"),
    "twice": ((file("a"), file("b"), file("a")), "'a' is there twice"),
    "a file and a link": ((file("a"), link("a", "b")), "'a' is there twice"),
    "below a file": ((file("a"), file("a/b/c")), "'a/b/c' is below 'a', which is a file"),
    "below a link": ((link("a", "lib"), file("a/b")), "'a/b' is below 'a', which is a link"),
    "absolute link": ((link("a", "/etc"),), f"'a' is a link to '/etc', {OUTSIDE}"),
    "climbing link": ((link("lib/a", "../.."),), f"'lib/a' is a link to '../..', {OUTSIDE}"),
    "out and in again": ((link("a", "../release/b"),), f"'a' is a link to '../release/b', {OUTSIDE}"),
    "through a link that climbs": ((link("lib/a/b", "../.."), link("c", "lib/a/b/..")), "'c' is a link to"),
    "through an absolute link": ((link("a", "b/x"), link("b", "/etc")), f"'a' is a link to 'b/x', {OUTSIDE}"),
    "a circle": ((link("a", "b"), link("b", "a")), "'a' is a link to 'b', which leads to no end"),
    "itself": ((link("a", "a/a"),), "'a' is a link to 'a/a', which leads to no end"),
    "to ours": ((link("lib/a", "../.warpbeam/manifest"),), "which is Warpbeam's own"),
    "to ours, through a link": ((link("a", "b/../.warpbeam"), link("b", "lib")), "which is Warpbeam's own"),
    "a control character in an aim": ((link("a", "b\x1b"),), "'a' is a link to 'b\\x1b', which holds a control"),
    "an aim that is not UTF-8": ((link("a", "b\udc80"),), "which is not UTF-8"),
    "a long aim": ((link("a", "x/" * 2048),), "which is longer than 4095 bytes"),
    "a link with a mode": ((Item("a", "755", 0, "", "b"),), "'a' is a link and has a mode"),
    "a link with a content": ((Item("a", "777", 1, DIGEST, "b"),), "'a' is a link and has a mode"),
}


@pytest.mark.parametrize(("files", "told"), FLAWED.values(), ids=FLAWED)
def test_what_no_release_may_hold_is_reported_by_its_name(files: tuple[Item, ...], told: str) -> None:
    # The flaw is found alone, and after other files.
    for manifest in (files, (file("zz"), *files)):
        said = violation(manifest)
        assert told in said
        assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", said)
        assert len(said) < 400


def test_more_than_any_release_has_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_FILES", 3)
    monkeypatch.setattr(content, "MOST_LINKS", 1)
    monkeypatch.setattr(content, "MOST_BYTES", 10)

    assert "it has 4 files, more than 3" in violation([file(str(number)) for number in range(4)])
    assert "it has 2 links, more than 1" in violation([link("a", "x"), link("b", "x")])
    assert "its files have 11 bytes, more than 10" in violation([file("a", size=6), file("b", size=5)])
    assert violation([file("a", size=5), file("b", size=5), link("c", "a")]) == ""


@given(st.text(max_size=300))
def test_a_name_in_a_message_is_one_line_of_what_can_be_printed(name: str) -> None:
    assert shown(name).isprintable()
    assert len(shown(name)) < 1100


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c/d"]), max_size=8), st.sampled_from(["a", "b/c", "c/d/e"]))
def test_a_link_is_outside_exactly_where_its_steps_go_above_the_release(steps: list[str], path: str) -> None:
    target = "/".join(steps)
    if not target or target.startswith("/"):
        return
    depth = least = path.count("/")
    for step in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(step, 1)
        least = min(least, depth)

    said = violation([link(path, target)])

    assert (OUTSIDE in said) == (least < 0) or "leads to no end" in said
