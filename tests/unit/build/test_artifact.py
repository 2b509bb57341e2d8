"""Artifacts: the key that two builds share, and the store that keeps them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from warpbeam.build.artifact import Artifact, Item, Manifest, Toolchain
from warpbeam.build.build import find_kept
from warpbeam.build.recipe import Recipe, key_of
from warpbeam.build.source import Source
from warpbeam.error import Failed
from warpbeam.event import Event, Warn
from warpbeam.inventory.build import Build
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.secret import Secret
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.store import Store

TOOLS = Toolchain(elixir="1.14.0", otp="25", cpu="x86_64", libc="glibc 2.36", os="Debian 12")
CONTENT = b"a tarball"
MANIFEST = Manifest(
    app="hello",
    release="hello",
    version="1.0",
    commit="c" * 40,
    subject="s",
    tree="t" * 40,
    dirty=True,
    flavor="mix",
    mix_env="prod",
    toolchain=TOOLS,
    erts="13.1",
    libcrypto="",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    files=(Item("bin/a", "755", 1, "0" * 64), Item("bin/b", "777", 0, "", "a")),
)


def keep(store: Store, key: str, content: bytes = CONTENT) -> Artifact:
    """Put an artifact into the store, as a build does."""
    with store.incoming(key) as file:
        file.write(content)
        file.flush()
        return store.keep(key, MANIFEST, hashlib.sha256(content).hexdigest())


def test_whatever_changes_what_is_built_changes_the_key() -> None:
    source = Source(Path(), Path(), "", "c" * 40, "t" * 40, "subject")
    hosts = {"web1": Host(name="web1", roles=("app",))}

    def key(source: Source = source, tools: Toolchain = TOOLS, app: str = "hello", **inventory: Any) -> str:
        return key_of(source, Inventory(org="acme", app=app, hosts=hosts, **inventory), tools)

    others = [
        key(msgspec.structs.replace(source, tree="u" * 40)),
        key(msgspec.structs.replace(source, prefix="apps/hello/")),
        key(msgspec.structs.replace(source, sent="dirty")),
        key(app="other"),
        key(release="hello"),
        key(release="other"),
        key(build=Build(mix_env="test")),
        key(build=Build(tools="mise")),
        key(build=Build(env={"A": "1"})),
        key(build=Build(assets="none")),
        key(build=Build(assets=("npm ci",))),
        key(build=Build(assets=("npm ci", "mix phx.digest"))),
        *(key(tools=msgspec.structs.replace(TOOLS, **{name: "other"})) for name in TOOLS.__struct_fields__),
    ]
    assert len({key(), *others}) == len(others) + 1
    # The order of variables, descriptions of a source and paths kept on the build host do not change the key.
    assert key(build=Build(env={"A": "1", "B": "2"})) == key(build=Build(env={"B": "2", "A": "1"}))
    assert key() == key(msgspec.structs.replace(source, commit="d" * 40, subject="another", directory=Path("x")))
    assert key() == key(build=Build(keep=("priv/static",)))
    # A secret lets the build in somewhere, and does not decide what it finds there.
    assert key() == key(build=Build(secrets={"NPM_TOKEN": Secret(env="A")}))


def test_what_is_kept_is_found_whole(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")

    kept = keep(store, "one")

    assert store.find("one") == kept
    assert kept.tarball.read_bytes() == CONTENT
    assert store.find("two") is None
    assert kept.label == "1.0 (cccccccc, dirty)"
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_a_damaged_transfer_is_not_kept_and_leaves_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    with pytest.raises(Failed, match="arrived damaged"):
        keep(store, "one", b"another tarball")

    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_transfer_leaves_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    with pytest.raises(KeyboardInterrupt), store.incoming("one") as file:
        file.write(b"half")
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [b"", b"{", b'{"app": "hello"}'])
def test_what_cannot_be_read_is_built_again(tmp_path: Path, text: bytes) -> None:
    store = DirectoryStore(tmp_path)
    kept = keep(store, "one")

    (tmp_path / "one.json").write_bytes(text)
    assert store.find("one") is None
    keep(store, "one")
    kept.tarball.write_bytes(b"cut")
    assert store.find("one") is None


def test_a_manifest_that_no_release_may_have_is_built_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    kept = keep(store, "one")
    changed = msgspec.structs.replace(kept.manifest, files=(Item(".warpbeam/healthy", "644", 1, "0" * 64),))
    (tmp_path / "one.json").write_bytes(msgspec.json.encode(changed))

    assert store.find("one") is None


def test_a_tarball_that_was_changed_is_seen_though_its_size_is_the_same(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    kept = keep(store, "one")
    assert kept.is_unchanged()

    kept.tarball.write_bytes(CONTENT[::-1])

    assert store.find("one") == kept
    assert not kept.is_unchanged()


def recipe(commit: str) -> Recipe:
    """The recipe of the artifact `one`, whose source is that commit."""
    source = Source(Path(), Path(), "", commit, MANIFEST.tree, "another subject")
    return Recipe(source, Inventory(org="acme", app="hello", build=Build(flavor="mix"), hosts={}), TOOLS, "", "", "one")


def test_a_kept_artifact_is_described_by_the_commit_that_was_asked_for(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    emitted: list[Event] = []
    assert find_kept(recipe("d" * 40), store, emitted.append) is None
    keep(store, "one")

    found = find_kept(recipe("d" * 40), store, emitted.append)

    assert found is not None and found.label == "1.0 (dddddddd)"
    assert (found.manifest.subject, found.manifest.sha256) == ("another subject", MANIFEST.sha256)
    assert emitted == []


def test_a_kept_artifact_that_was_changed_is_not_taken_and_a_warning_says_so(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    keep(store, "one").tarball.write_bytes(CONTENT[::-1])
    emitted: list[Event] = []

    assert find_kept(recipe("c" * 40), store, emitted.append) is None

    (warning,) = emitted
    assert isinstance(warning, Warn) and "was changed since it was built" in warning.text


def test_links_are_no_regular_files() -> None:
    assert [item.path for item in Artifact(Path(), MANIFEST).files] == ["bin/a"]
