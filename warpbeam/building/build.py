"""Building: a source becomes an artifact, on the build host (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from warpbeam.answer import FILES, AbsolutePath, Count, Library, Sha256, Version
from warpbeam.bound import LONGEST_RECORD, MEGABYTE, Allowance, Breach, Complaints
from warpbeam.building.artifact import Artifact, Item, Manifest, Store, Toolchain, artifact_key, epmd_source
from warpbeam.building.content import flaw
from warpbeam.building.source import Source, archive, ignored_files, read_file
from warpbeam.building.tarball import difference
from warpbeam.error import Failed, Misuse
from warpbeam.event import Note, Progress, Settled, Step, Tell, Warn
from warpbeam.inventory import Inventory
from warpbeam.phase import Phase, render, run
from warpbeam.shell import Shell
from warpbeam.ssh.rsync import this_path

# Bytes that an artifact leaves free on this machine's disk.
ROOM_LEFT = 256 * MEGABYTE


class AskToolchain(Phase[Toolchain], frozen=True):
    """What the build host builds with; refuses a mismatch with .tool-versions."""

    script: ClassVar[str] = "toolchain"
    parts: ClassVar[tuple[str, ...]] = ("common", "tools")
    answer: ClassVar[type] = Toolchain
    tools: str
    want_elixir: str
    want_erlang: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Built(msgspec.Struct, frozen=True):
    """What build.sh made."""

    version: Version
    erts: Version
    libcrypto: Library
    tarball: AbsolutePath
    sha256: Sha256
    size: Count
    files: Annotated[tuple[Item, ...], FILES]
    names_node: bool


class MakeRelease(Phase[Built], frozen=True):
    """Compile and assemble; fields as `scripts/build.sh` tells."""

    script: ClassVar[str] = "build"
    parts: ClassVar[tuple[str, ...]] = ("common", "tools")
    answer: ClassVar[type] = Built
    # A line for each of the release's files.
    longest: ClassVar[int] = 16 * LONGEST_RECORD
    root: str
    release: str
    mix_env: str
    strip: int
    carried: bool
    with_tests: bool
    variables: tuple[str, ...]
    commit: str
    key: str
    tools: str
    want_elixir: str
    want_erlang: str
    epmd: str


class Fetch(Phase[None], frozen=True):
    """The tarball's bytes on standard output; no records."""

    script: ClassVar[str] = "fetch"
    parts: ClassVar[tuple[str, ...]] = ()
    tarball: str


def asked_tools(source: Source) -> tuple[str, str]:
    """The Elixir and Erlang versions that the source's .tool-versions asks for; empty where it asks for none."""
    wanted = {"elixir": "", "erlang": ""}
    for line in (read_file(source, ".tool-versions") or "").splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] in wanted:
            wanted[words[0]] = words[1]
    return wanted["elixir"], wanted["erlang"]


def build(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    store: Store,
    tell: Tell,
    *,
    with_tests: bool = False,
    before: Callable[[], None] | None = None,
    carry: Callable[[Path, str, list[str]], None] | None = None,
    hooked: Callable[[dict[str, str]], AbstractContextManager[dict[str, str]]] = nullcontext,
) -> Artifact:
    """The artifact of `source`: from the store, or built on the host of `shell` and brought home.

    Parameters:
        with_tests: run `mix test` before; builds even when the store has the artifact, so that they do run.
        before: called when nothing kept will do, before anything is built.
        carry: brings a dirty working tree to a directory of the build host, leaving out what the list names.
        hooked: what is entered around the building itself; it is not where the artifact is kept already.

    Raises:
        Refused: the build host's tools are not what .tool-versions asks for, or another build runs there.
        Failed: the build failed; its last lines are in the details.
    """
    asked = asked_tools(source)
    plan = inventory.build
    toolchain = run(shell, AskToolchain(plan.tools, *asked), tell)
    key = artifact_key(source.tree, plan.mix_env, plan.flavor, plan.env, toolchain)
    kept = store.find(key)
    if kept is not None and not store.is_unchanged(kept):
        tell(
            Warn(
                "", f"the artifact {key} that is kept on this machine was changed since it was built: building it again"
            )
        )
        kept = None
    if kept is not None and not with_tests:
        # The same tree may have another commit by now; what goes out is told by the one asked for.
        described = msgspec.structs.replace(
            kept.manifest, commit=source.commit, subject=source.subject, dirty=source.dirty
        )
        artifact = Artifact(kept.tarball, described)
        tell(Note("", f"built already: {inventory.app} {artifact.label}"))
        _tell_node(artifact, tell)
        return artifact
    if before is not None:
        before()
    with hooked({"COMMIT": source.commit}) as about:
        artifact = _make(
            shell, inventory, source, store, tell, toolchain, key, asked, with_tests=with_tests, carry=carry
        )
        about["VERSION"] = artifact.manifest.version
    tell(Settled(shell.name, f"built {inventory.app} {artifact.label}, {artifact.manifest.size / 1e6:.1f} MB"))
    _tell_node(artifact, tell)
    return artifact


def _tell_node(artifact: Artifact, tell: Tell) -> None:
    """Two instances on one host need two names, which the slots' settings give them unless the release has its own."""
    if artifact.manifest.names_node:
        what = "rel/env.sh.eex sets RELEASE_NODE, over the name that each slot has: with blue-green the second instance"
        tell(Warn("", f"{what} will not start; leave it out, or write ${{RELEASE_NODE:-…}}"))


def _make(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    store: Store,
    tell: Tell,
    toolchain: Toolchain,
    key: str,
    asked: tuple[str, str],
    *,
    with_tests: bool,
    carry: Callable[[Path, str, list[str]], None] | None,
) -> Artifact:
    """Build it on the host of `shell`, and bring it home."""
    plan = inventory.build
    elixir, erlang = asked
    if source.dirty:
        if carry is None:
            raise Misuse("a dirty tree cannot be built here", "commit it")
        tell(Step(shell.name, "carry the working tree"))
        carry(
            source.directory,
            f"{inventory.root}/build/src",
            ["/.git", "/_build", "/deps", *map(this_path, ignored_files(source))],
        )
    phase = MakeRelease(
        root=str(inventory.root),
        release=inventory.release_name,
        mix_env=plan.mix_env,
        strip=source.prefix.count("/"),
        carried=source.dirty,
        with_tests=with_tests,
        variables=tuple(f"{name}={value}" for name, value in plan.env.items()),
        commit=source.commit,
        key=key,
        tools=plan.tools,
        want_elixir=elixir,
        want_erlang=erlang,
        epmd=epmd_source(),
    )
    built = run(shell, phase, tell, () if source.dirty else archive(source))
    manifest = Manifest(
        app=inventory.app,
        release=inventory.release_name,
        version=built.version,
        commit=source.commit,
        subject=source.subject,
        tree=source.tree,
        dirty=source.dirty,
        flavor=plan.flavor,
        mix_env=plan.mix_env,
        toolchain=toolchain,
        erts=built.erts,
        libcrypto=built.libcrypto,
        sha256=built.sha256,
        size=built.size,
        files=built.files,
        names_node=built.names_node,
    )
    return _bring_home(shell, built, manifest, store, key, tell)


def _bring_home(shell: Shell, built: Built, manifest: Manifest, store: Store, key: str, tell: Tell) -> Artifact:
    # Whatever the build host is, it says no more than a release may hold, and sends no other than it says.
    where = f"{shell.name}: " if shell.name else ""
    hint = "nothing of it is kept; look at what the app builds, and at the build host"
    if wrong := flaw(built.files):
        raise Failed(f"{where}the artifact holds what no release may hold: {wrong}", hint)
    digest = hashlib.sha256()
    done = 0
    complaints = Complaints()
    announced = Allowance(built.size, "of an artifact that was announced to be no longer")
    _refuse_without_room(shell, built.size, store)
    with store.incoming(key) as file:

        def heard(piece: bytes) -> None:
            nonlocal done
            announced.take(len(piece))
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            tell(Progress(shell.name, "bring home", done, built.size))

        try:
            status = shell.execute("bash -s", [render(Fetch(built.tarball))], heard, complaints)
        except Breach as breach:
            hint = "nothing of it was kept; look at the build host, which is not to be trusted as it is"
            raise Failed(f"{shell.name}: {breach}", hint) from None
        if status != 0:
            said = tuple(complaints.text.splitlines())
            raise Failed(f"{shell.name}: the artifact could not be brought home (status {status})", "", said)
        file.flush()
        if digest.hexdigest() == built.sha256 and (wrong := difference(Path(file.name), built.files)):
            raise Failed(f"{where}the artifact is not what its manifest says: {wrong}", hint)
        return store.keep(key, manifest, digest.hexdigest())


def _refuse_without_room(shell: Shell, size: int, store: Store) -> None:
    """Refuse an artifact for which this machine's disk has no room. Raises: Failed."""
    store.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(store.directory).free
    if not 0 <= size <= free - ROOM_LEFT:
        raise Failed(
            f"{shell.name}: the artifact has {size / 1e6:.1f} MB, and this machine's disk {free / 1e6:.1f} MB free",
            f"make room in {store.directory}, or see what the release holds",
        )
