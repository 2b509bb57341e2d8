"""Descriptions of releases on a host: which ones are read, and which warning or default replaces the others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpbeam.host.facts import About, Release
from warpbeam.host.record import RECORD_START
from warpbeam.host.script import PACKAGE, with_contained

GOOD = About(
    "1.0.0-rc.1+b~1",
    "c" * 40,
    'a "subject" \\ \n\t\x01 caf\u00e9 \u2028 \x7f',
    "d" * 40,
    "e" * 64,
    dirty=True,
    release="hello_2",
)
TEXT = msgspec.json.encode(GOOD)
# A description as an earlier version of Warpbeam wrote it.
OLD = TEXT.replace(b',"release":"hello_2"', b"")
BAD = {
    "nothing": b"",
    "no line": TEXT,
    "no JSON": b'{"version":\n',
    "a list": b"[]\n",
    "an empty object": b"{}\n",
    "another type": TEXT.replace(b"true", b"1") + b"\n",
    "a number for a text": TEXT.replace(b'"version":"1.0.0-rc.1+b~1"', b'"version":1') + b"\n",
    "a version that is none": TEXT.replace(b"1.0.0-rc", b"$(id)") + b"\n",
    "no version": TEXT.replace(b"1.0.0-rc.1+b~1", b"") + b"\n",
    "a commit that is a path": TEXT.replace(b"c" * 40, b"../x") + b"\n",
    "a commit that is a branch": TEXT.replace(b"c" * 40, b"main") + b"\n",
    "a surrogate": TEXT.replace(b"caf", b"\\ud800") + b"\n",
    "an escape that is none": TEXT.replace(b"caf", b"\\x41") + b"\n",
    "an escape that is cut": TEXT.replace(b"caf", b"\\u00") + b"\n",
    "a control character": TEXT.replace(b"caf", b"\x1b[2J") + b"\n",
    "a quote too many": TEXT.replace(b"caf", b'"') + b"\n",
    "more keys": TEXT.replace(b'"dirty"', b'"x":"y","dirty"') + b"\n",
    "more values": TEXT[:-1] + b',"x":{}}\n',
    "more values, of old": OLD[:-1] + b',"x":"y"}\n',
    "a key in pieces": TEXT.replace(b'{"version":', b'{ver"sion":') + b"\n",
    "a key without quotes": TEXT.replace(b',"release":"hello_2"', b",.release:") + b"\n",
    "a colon too many": TEXT.replace(b'"release":', b'"release"::') + b"\n",
    "a release that is a path": TEXT.replace(b"hello_2", b"../x") + b"\n",
    "a release that is a command": TEXT.replace(b"hello_2", b"$(id)") + b"\n",
    "a release that is a number": TEXT.replace(b'"hello_2"', b"2") + b"\n",
    "two releases": TEXT[:-1] + b',"release":"hello"}\n',
    "something behind": TEXT + b',{"name":"20990101T000000Z"}\n',
    "another line": TEXT + b"\n\x1e{}\n",
    "endless": TEXT.replace(b"caf", b"x" * 40_000) + b"\n",
}


def parts_for(root: Path) -> str:
    """Return the lines that load the shared parts, for an app below `root`."""
    parts = (f". {PACKAGE}/{part}.sh" for part in with_contained(("host/common", "host/layout")))
    return "; ".join((f"root={root} app=x", *parts))


def described(root: Path, texts: list[bytes]) -> tuple[list[Release], list[str]]:
    """Return the answer of the scripts for releases with these descriptions, and their warnings."""
    names = [f"20200101T00{number // 60:02}{number % 60:02}Z" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        place = root / "releases" / name / ".warpbeam"
        place.mkdir(parents=True, exist_ok=True)
        (place / "artifact.json").write_bytes(text)
        (place / "was_live").touch()
    script = f'{parts_for(root)}; find_releases; described; record "$REPLY"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert said.stderr == b""
    *warnings, answer = said.stdout.split(RECORD_START)[1:]
    found = msgspec.json.decode(answer.decode("utf-8", "replace"), type=list[Release])
    assert [release.name for release in found] == names
    return found, [msgspec.json.decode(text)["warn"] for text in warnings]


def test_a_description_that_cannot_be_read_is_a_failed_release_and_is_named(tmp_path: Path) -> None:
    found, warnings = described(tmp_path, [TEXT + b"\n", OLD + b"\n", *BAD.values()])

    assert found[0] == Release(found[0].name, "healthy", GOOD)
    assert found[1] == Release(found[1].name, "healthy", msgspec.structs.replace(GOOD, release=""))
    assert {
        name: (release.mark, release.artifact) for name, release in zip(BAD, found[2:], strict=True)
    } == dict.fromkeys(BAD, ("failed", About()))
    assert [text.partition(":")[0] for text in warnings] == [release.name for release in found[2:]]


def test_what_is_no_plain_file_is_no_description_and_no_mark(tmp_path: Path) -> None:
    described(tmp_path, [TEXT + b"\n"] * 5)
    link, pipe, directory, mark, dangling = sorted((tmp_path / "releases").iterdir())
    for place in (link, pipe, directory):
        (place / ".warpbeam" / "artifact.json").unlink()
    (link / ".warpbeam" / "artifact.json").symlink_to(mark / ".warpbeam" / "artifact.json")
    os.mkfifo(pipe / ".warpbeam" / "artifact.json")
    (directory / ".warpbeam" / "artifact.json").mkdir()
    for place, aim in ((mark, "artifact.json"), (dangling, "nothing")):
        (place / ".warpbeam" / "was_live").unlink()
        (place / ".warpbeam" / "was_live").symlink_to(aim)

    script = f'{parts_for(tmp_path)}; find_releases; described; echo "$REPLY"'
    script += '; previous_of 20990101T000000Z; echo "$REPLY"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)

    *_, answer, previous, _ = said.stdout.split("\n")
    found = msgspec.json.decode(answer, type=list[Release])
    assert [release.mark for release in found] == ["failed", "failed", "failed", "new", "new"]
    assert previous == ""


# No commit of git holds a NUL.
SUBJECTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)


@settings(max_examples=10)
@given(st.lists(st.builds(About, st.just("1.0"), subject=SUBJECTS, dirty=st.booleans()), min_size=20))
def test_every_description_that_we_write_is_read(tmp_path_factory: pytest.TempPathFactory, abouts: list[About]) -> None:
    root = tmp_path_factory.mktemp("host")

    found, warnings = described(root, [msgspec.json.encode(about) + b"\n" for about in abouts])

    assert [release.artifact for release in found] == abouts
    assert warnings == []
