"""Building: turn a source into an artifact, on the build host (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Annotated, ClassVar

import msgspec

from warpbeam.build.archive import archive
from warpbeam.build.artifact import Artifact, Item, Manifest, Toolchain, artifact_key, epmd_source
from warpbeam.build.content import violation
from warpbeam.build.source import Source, read_above
from warpbeam.build.tarball import difference
from warpbeam.build.working_tree import ignored_files
from warpbeam.error import Failed, Misuse
from warpbeam.event import Emit, Event, Note, Progress, Settled, Step, Warn
from warpbeam.host.answer import FILES, AbsolutePath, Count, Library, Sha256, Text, Version
from warpbeam.host.login_output import Beginning
from warpbeam.host.phase import READER, Phase, render, run
from warpbeam.inventory.schema import Inventory
from warpbeam.limit import LONGEST_RECORD, Allowance, Breach, Complaints
from warpbeam.shell import Shell
from warpbeam.ssh.rsync import this_path
from warpbeam.store.store import Store

MOST_STEPS = 20


class AskToolchain(Phase[Toolchain], frozen=True, kw_only=True):
    """Ask the build host for its toolchain; refuses a mismatch with .tool-versions."""

    script: ClassVar[str] = "build/toolchain"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = Toolchain
    tools: str
    want_elixir: str
    want_erlang: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Built(msgspec.Struct, frozen=True):
    """The answer of build.sh."""

    version: Version
    erts: Version
    libcrypto: Library
    tarball: AbsolutePath
    sha256: Sha256
    size: Count
    files: Annotated[tuple[Item, ...], FILES]
    directories: Annotated[tuple[Text, ...], FILES]
    names_node: bool


class MakeRelease(Phase[Built], frozen=True, kw_only=True):
    """Compile the source and assemble a release; the head of `warpbeam/build/build.sh` explains its fields."""

    script: ClassVar[str] = "build/build"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = Built
    # The answer has an entry for each file of the release.
    longest: ClassVar[int] = 16 * LONGEST_RECORD
    root: str
    release: str
    named: bool
    mix_env: str
    strip: int
    carried: bool
    anew: bool
    keep: tuple[str, ...]
    with_tests: bool
    variables: tuple[str, ...]
    commit: str
    tree: str
    key: str
    tools: str
    want_elixir: str
    want_erlang: str
    elixir: str
    otp: str
    epmd: str


class Download(Phase[None], frozen=True, kw_only=True):
    """Send the tarball's bytes on standard output; there are no records."""

    script: ClassVar[str] = "build/download"
    parts: ClassVar[tuple[str, ...]] = ()
    tarball: str


class Times:
    """A stopwatch for the steps that are emitted through it."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._began: list[tuple[str, float]] = []

    def emit(self, event: Event) -> None:
        """Pass `event` on; a step ends the step before."""
        if isinstance(event, Step):
            self.begin(event.name)
        self._emit(event)

    def begin(self, name: str) -> None:
        """Begin a step that is not emitted as an event."""
        # A build host may send any number of steps.
        if len(self._began) < MOST_STEPS:
            self._began.append((name[:40], monotonic()))

    def __str__(self) -> str:
        ends = [*(began for _, began in self._began[1:]), monotonic()]
        parts = [f"{name} {end - began:.1f}" for (name, began), end in zip(self._began, ends, strict=True)]
        return ", ".join([f"{part} s" if part is parts[0] else part for part in parts])


def asked_tools(source: Source) -> tuple[str, str]:
    """Return the Elixir and Erlang versions that .tool-versions asks for; empty where it asks for none.

    Each text holds versions with spaces between, any of which will do. As for asdf and mise, a tool that the source's
    own file does not name is looked up in the directories above the source.
    """
    wanted = {"elixir": "", "erlang": ""}
    for text in read_above(source, ".tool-versions"):
        here: dict[str, str] = {}
        for line in text.splitlines():
            tool, *versions = line.partition("#")[0].split() or [""]
            if versions and tool in wanted:
                here[tool] = " ".join(versions)
        wanted = {tool: wanted[tool] or here.get(tool, "") for tool in wanted}
    return wanted["elixir"], wanted["erlang"]


def build(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    store: Store,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    before: Callable[[], None] | None = None,
    rsync: Callable[[Path, str, list[str]], None] | None = None,
    hooked: Callable[[dict[str, str]], AbstractContextManager[dict[str, str]]] = nullcontext,
) -> Artifact:
    """Return the artifact of `source`: from the store, or built on the host of `shell` and downloaded.

    Parameters:
        with_tests: run `mix test` first; to run them, build even when the store has the artifact.
        anew: build from scratch even when the store has the artifact, and replace that.
        before: called before a build, not when the artifact comes from the store.
        rsync: copies a dirty working tree to a directory of the build host, except the paths of the list.
        hooked: entered around the build, not when the artifact comes from the store.

    Raises:
        Refused: the build host's tools are not what .tool-versions asks for, or another build runs there.
        Failed: the build failed; its last lines are in the details.
    """
    asked = asked_tools(source)
    plan = inventory.build
    toolchain = run(shell, AskToolchain(tools=plan.tools, want_elixir=asked[0], want_erlang=asked[1]), emit)
    key = key_of(source, inventory, toolchain)
    kept = store.find(key)
    if kept is not None and not anew and not kept.is_unchanged():
        emit(
            Warn(
                "", f"the artifact {key} that is kept on this machine was changed since it was built: building it again"
            )
        )
        kept = None
    if kept is not None and not with_tests and not anew:
        # Another commit may have the same tree: describe the artifact by the commit that was asked for.
        described = msgspec.structs.replace(
            kept.manifest, commit=source.commit, subject=source.subject, dirty=source.dirty
        )
        artifact = Artifact(kept.tarball, described)
        emit(Note("", f"built already: {inventory.app} {artifact.label}"))
        _emit_node(artifact, emit)
        return artifact
    if before is not None:
        before()
    with hooked({"COMMIT": source.commit}) as about:
        artifact = _make(
            shell, inventory, source, store, emit, toolchain, key, asked, with_tests=with_tests, anew=anew, rsync=rsync
        )
        about["VERSION"] = artifact.manifest.version
    emit(Settled(shell.name, f"built {inventory.app} {artifact.label}, {artifact.manifest.size / 1e6:.1f} MB"))
    _emit_node(artifact, emit)
    return artifact


def key_of(source: Source, inventory: Inventory, toolchain: Toolchain) -> str:
    """Return the key of the artifact, from all that decides its content and is known before a build."""
    plan = inventory.build
    how = {
        "app": inventory.app,
        "release": inventory.release_name,
        "named": inventory.release is not None,
        "flavor": plan.flavor,
        "mix_env": plan.mix_env,
        "tools": plan.tools,
        "env": plan.env,
    }
    return artifact_key((source.tree, source.prefix, source.sent), how, toolchain)


def _emit_node(artifact: Artifact, emit: Emit) -> None:
    """Warn where the release sets its own node name: two instances on one host need two names."""
    if artifact.manifest.names_node:
        what = "rel/env.sh.eex sets RELEASE_NODE, over the name that each slot has: with blue-green the second instance"
        emit(Warn("", f"{what} will not start; leave it out, or write ${{RELEASE_NODE:-…}}"))


def _make(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    store: Store,
    emit: Emit,
    toolchain: Toolchain,
    key: str,
    asked: tuple[str, str],
    *,
    with_tests: bool,
    anew: bool,
    rsync: Callable[[Path, str, list[str]], None] | None,
) -> Artifact:
    """Build the artifact on the host of `shell`, and download it."""
    plan = inventory.build
    elixir, erlang = asked
    times = Times(emit)
    if source.dirty:
        if rsync is None:
            raise Misuse("a dirty tree cannot be built here", "commit it")
        times.emit(Step(shell.name, "rsync the working tree"))
        rsync(
            source.directory,
            f"{inventory.root}/build/carried",
            ["/.git", "/_build", *map(this_path, ignored_files(source.directory))],
        )
    phase = MakeRelease(
        root=str(inventory.root),
        release=inventory.release_name,
        named=inventory.release is not None,
        mix_env=plan.mix_env,
        strip=source.prefix.count("/"),
        carried=source.dirty,
        anew=anew,
        keep=plan.keep,
        with_tests=with_tests,
        variables=tuple(f"{name}={value}" for name, value in plan.env.items()),
        commit=source.commit,
        tree=source.tree,
        key=key,
        tools=plan.tools,
        want_elixir=elixir,
        want_erlang=erlang,
        elixir=toolchain.elixir,
        otp=toolchain.otp,
        epmd=epmd_source(),
    )
    built = run(shell, phase, times.emit, () if source.dirty else archive(source.top, source.commit, source.prefix))
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
        directories=built.directories,
        names_node=built.names_node,
    )
    times.begin("download")
    artifact = _download(shell, built, manifest, store, key, emit)
    emit(Note(shell.name, f"took {times}"))
    return artifact


def _download(shell: Shell, built: Built, manifest: Manifest, store: Store, key: str, emit: Emit) -> Artifact:
    # Do not trust the build host: check its manifest against the rules, and the tarball against the manifest.
    where = f"{shell.name}: " if shell.name else ""
    hint = "nothing of it is kept; look at what the app builds, and at the build host"
    if wrong := violation(built.files, built.directories):
        raise Failed(f"{where}the artifact holds what no release may hold: {wrong}", hint)
    digest = hashlib.sha256()
    done = 0
    complaints = Complaints()
    announced = Allowance(built.size, "of an artifact that was announced to be no longer")
    store.check_room(built.size, shell.name)
    with store.incoming(key) as file:

        def on_stdout(piece: bytes) -> None:
            nonlocal done
            announced.take(len(piece))
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            emit(Progress(shell.name, "download", done, built.size))

        try:
            status = shell.execute(READER, [render(Download(tarball=built.tarball))], Beginning(on_stdout), complaints)
        except Breach as breach:
            hint = "nothing of it was kept; look at the build host, which is not to be trusted as it is"
            raise Failed(str(breach), hint, host=shell.name) from None
        if status != 0:
            said = tuple(complaints.text.splitlines())
            raise Failed(f"the artifact could not be downloaded (status {status})", "", said, host=shell.name)
        file.flush()
        if digest.hexdigest() == built.sha256 and (wrong := difference(Path(file.name), built.files)):
            raise Failed(f"{where}the artifact is not what its manifest says: {wrong}", hint)
        return store.keep(key, manifest, digest.hexdigest())
