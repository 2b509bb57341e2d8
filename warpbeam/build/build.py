"""Building: turn a source into an artifact, on the build host (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from warpbeam.build.archive import archive
from warpbeam.build.artifact import Artifact, Manifest, Toolchain
from warpbeam.build.download import download
from warpbeam.build.key import epmd_source, key_of
from warpbeam.build.release import MakeRelease
from warpbeam.build.source import Source
from warpbeam.build.stopwatch import Stopwatch
from warpbeam.build.toolchain import AskToolchain, asked_tools
from warpbeam.build.working_tree import ignored_files
from warpbeam.error import Misuse
from warpbeam.event import Emit, Note, Settled, Step, Warn
from warpbeam.host.phase import run
from warpbeam.inventory.schema import Inventory
from warpbeam.shell import Shell
from warpbeam.ssh.rsync import this_path
from warpbeam.store.store import Store


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
    times = Stopwatch(emit)
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
    artifact = download(shell, built, manifest, store, key, emit)
    emit(Note(shell.name, f"took {times}"))
    return artifact
