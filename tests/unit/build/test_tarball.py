"""A tarball against its manifest: the tarball of a build fits, and no other does."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from warpbeam.build.artifact import Item
from warpbeam.build.content import shown
from warpbeam.build.tarball import Unlike, difference, pick

Members = list[tuple[tarfile.TarInfo, bytes]]
BIG = bytes(range(256)) * 4096


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


LONG = "long/" * 40 + "name"
CONTENTS = {"a": b"", "bin/b": b"one\n", "bin/c": BIG, LONG: b"x" * 512, "caf\u00e9": b"two\n"}
LINKS = {"lib/link": "../bin/b", "lib/long": "x" * 200}
FILES = tuple(
    sorted(
        [
            *(Item(path, "644", len(text), hashlib.sha256(text).hexdigest()) for path, text in CONTENTS.items()),
            *(Item(path, "777", 0, "", target) for path, target in LINKS.items()),
        ],
        key=lambda item: item.path.encode(),
    )
)


def members() -> Members:
    """Return the members for FILES, in the same order."""
    return [link(it.path, it.link) if it.link else member(it.path, CONTENTS[it.path]) for it in FILES]


def pack(file: Path, whole: Members, form: int = tarfile.GNU_FORMAT, rest: bytes = b"") -> Path:
    with gzip.open(file, "wb", compresslevel=1) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=form) as tar:
            for info, content in whole:
                tar.addfile(info, io.BytesIO(content))
        zipped.write(rest)
    return file


def test_a_tarball_that_is_what_the_manifest_says_has_no_difference(tmp_path: Path) -> None:
    assert difference(pack(tmp_path / "a", members()), FILES) == ""


def test_what_gnu_tar_makes_as_a_build_calls_it_has_no_difference(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path, content in CONTENTS.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
        (tree / path).chmod(0o644)
    (tree / "lib").mkdir()
    for path, target in LINKS.items():
        (tree / path).symlink_to(target)
    names = "\0".join(item.path for item in FILES)
    script = "tar -c --null --verbatim-files-from --files-from=- --owner=0 --group=0 --numeric-owner --mtime=@0"
    script += " --format=gnu --hard-dereference | gzip -n >../made"
    subprocess.run(["bash", "-c", script], input=names.encode(), cwd=tree, check=True)

    assert difference(tmp_path / "made", FILES) == ""


def _instead(name: str, *others: tuple[tarfile.TarInfo, bytes]) -> Callable[[Members], Members]:
    """Return a change that replaces the member of that name by `others`."""

    def change(whole: Members) -> Members:
        at = next(index for index, (info, _) in enumerate(whole) if info.name == name)
        return [*whole[:at], *others, *whole[at + 1 :]]

    return change


DIFFERENT: dict[str, tuple[Callable[[Members], Members], str]] = {
    "one more at the end": (lambda it: [*it, member("zz")], "holds 'zz', a file, of which the manifest says nothing"),
    "one more before": (lambda it: [link(".warpbeam", "/home"), *it], "holds '.warpbeam', a link, of which the"),
    "one less": (_instead("bin/b"), "'bin/b' is missing in the tarball"),
    "the last one less": (lambda it: it[:-1], f"{shown(FILES[-1].path)} is missing in the tarball"),
    "nothing": (lambda it: [], "'a' is missing in the tarball"),
    "another order": (lambda it: it[::-1], "'a' is missing in the tarball, or not in its place"),
    "one twice": (lambda it: [it[0], *it], "is missing in the tarball, or not in its place"),
    "another name": (_instead("bin/b", member("/etc/x", b"one\n")), "holds '/etc/x', a file"),
    "a dot before": (_instead("bin/b", member("./bin/b", b"one\n")), "holds './bin/b', a file"),
    "a line end": (_instead("bin/b", member("bin/b\n", b"one\n")), "holds 'bin/b\\n', a file"),
    "another content": (_instead("bin/b", member("bin/b", b"owe\n")), "'bin/b' has another content"),
    "another size": (_instead("bin/b", member("bin/b", b"one\n\n")), "'bin/b' has 5 bytes in the tarball"),
    "another mode": (_instead("bin/b", member("bin/b", b"one\n", mode=0o755)), "'bin/b' has mode 755"),
    "a set-user-ID bit": (_instead("bin/b", member("bin/b", b"one\n", mode=0o4644)), "'bin/b' has mode 4644"),
    "another target": (_instead("lib/link", link("lib/link", "/etc")), "'lib/link' is a link to '/etc' in the tarball"),
    "a file for a link": (_instead("lib/link", member("lib/link")), "'lib/link' is a file in the tarball"),
    "a link for a file": (_instead("bin/b", link("bin/b", "/etc")), "'bin/b' is a link in the tarball"),
    "a hard link": (
        _instead("bin/b", member("bin/b", type=tarfile.LNKTYPE, linkname="a")),
        "'bin/b' is a hard link in the tarball",
    ),
    "a directory": (_instead("a", member("a", type=tarfile.DIRTYPE)), "holds 'a/', a directory"),
    "a pipe": (_instead("bin/b", member("bin/b", type=tarfile.FIFOTYPE)), "'bin/b' is a pipe in the tarball"),
    "a device": (_instead("bin/b", member("bin/b", type=tarfile.BLKTYPE)), "'bin/b' is a device in the tarball"),
    "a contiguous file": (_instead("bin/b", member("bin/b", type=b"7")), "'bin/b' is a thing of another kind"),
}


@pytest.mark.parametrize(("change", "told"), DIFFERENT.values(), ids=DIFFERENT)
def test_every_other_tarball_is_refused_with_what_differs_first(
    tmp_path: Path, change: Callable[[Members], Members], told: str
) -> None:
    assert told in difference(pack(tmp_path / "a", change(members())), FILES)


def test_a_part_of_a_tarball_is_what_the_manifest_says_of_it(tmp_path: Path) -> None:
    wanted = {"bin/c", "lib/link", LONG}

    pick(pack(tmp_path / "a", members()), FILES, wanted, tmp_path / "part")

    assert difference(tmp_path / "part", [item for item in FILES if item.path in wanted]) == ""


# `pick` does not read past the last wanted file, so it cannot notice one more at the end.
BEFORE = {what: case for what, case in DIFFERENT.items() if what != "one more at the end"}


@pytest.mark.parametrize(("change", "told"), BEFORE.values(), ids=BEFORE)
def test_no_part_is_made_of_another_tarball(tmp_path: Path, change: Callable[[Members], Members], told: str) -> None:
    with pytest.raises(Unlike, match=re.escape(told)):
        pick(pack(tmp_path / "a", change(members())), FILES, {item.path for item in FILES}, tmp_path / "part")


def test_what_is_no_tarball_of_ours_is_reported(tmp_path: Path) -> None:
    good = pack(tmp_path / "good", members()).read_bytes()
    bare = gzip.decompress(good)
    cases = {
        b"": "the tarball is cut short",
        b"no gzip": "cannot be unpacked",
        good[:-1000]: "cannot be unpacked",
        good + b"garbage": "cannot be unpacked",
        gzip.compress(b"x" * 2048): "what is no header of tar's",
        gzip.compress(bare[:512] + bytes(512) + bare[512:]): "is missing in the tarball",
        gzip.compress(bare + b"x"): "goes on after its end",
        gzip.compress(bare + bytes(1 << 20)): "goes on after its end",
        gzip.compress(bare[: len(bare) // 2]): "the tarball is cut short",
    }
    for content, told in cases.items():
        file = tmp_path / "bad"
        file.write_bytes(content)
        assert told in difference(file, FILES), content[:20]


def test_extended_headers_are_no_form_of_ours(tmp_path: Path) -> None:
    told = difference(pack(tmp_path / "a", members(), form=tarfile.PAX_FORMAT), FILES)

    assert "a thing of another kind" in told


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"0", b"2"])
def test_a_size_that_a_header_invents_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 40
    header = info.tobuf(tarfile.GNU_FORMAT)
    header = header[:156] + kind + header[157:]
    total = sum(header) - sum(header[148:156]) + 8 * 32
    header = header[:148] + b"%06o\0 " % total + header[156:]
    file = tmp_path / "bomb"
    with gzip.open(file, "wb", compresslevel=1) as zipped:
        zipped.write(header)
        for _ in range(64):
            zipped.write(bytes(1 << 20))

    tracemalloc.start()
    try:
        told = difference(file, FILES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert told
    assert peak < 4 << 20
