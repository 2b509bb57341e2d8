"""Artifacts that a person names (`deploy --artifact`): by a key, here or in the shared store, or by a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.signature import Unsound, read_signature
from warpbeam.deploy.fitting import Artifacts, assigned, fit, offers_of, platform_of, to_all
from warpbeam.deploy.lock import ready_facts
from warpbeam.error import Misuse, Refused
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import KEY, DirectoryStore
from warpbeam.store.manifest import read_manifest
from warpbeam.store.shared import MOST_MANIFEST, PIECE, Absent, SharedStore, Sink, read_text, tarball_name
from warpbeam.store.transfer import pull, take_in

TARBALL = re.compile(r"(?P<key>.+?)(?:-[0-9a-f]{16})?\.tar\.gz")


def split_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return the artifacts that `--artifact` names: each time one, or several keys with commas between."""
    named: dict[str, None] = {}
    for word in words:
        parts = [part.strip() for part in word.split(",")]
        named |= dict.fromkeys(parts if all(map(KEY.fullmatch, parts)) else [word])
    return tuple(named)


def chosen_artifacts(
    named: Sequence[str],
    fleet: Fleet,
    selection: HostSelection,
    here: DirectoryStore,
    shared: SharedStore | None,
    emit: Emit,
) -> Artifacts:
    """Return which of the artifacts that a person names goes to which host; one alone goes to all.

    Raises:
        Refused: they are of different sources, or none fits a host; as `chosen_artifact`. Misuse: as that.
    """
    found = {name: chosen_artifact(name, fleet.inventory, here, shared, emit) for name in named}
    hosts = selection.hosts(fleet.inventory)
    if len({artifact.manifest.sha256 for artifact in found.values()}) == 1:
        return to_all(next(iter(found.values())), [host.name for host in hosts])
    made = {name: artifact.manifest for name, artifact in found.items()}
    check_one_source(made)
    facts = ready_facts(fleet, selection)
    choice = choose(made, facts)
    for name in found:
        names = ", ".join(host for host, chosen in choice.items() if chosen == name)
        emit(Note("", f"{name} ({platform_of(made[name].toolchain)}) goes to {names or 'no host'}"))
    first = made[named[0]]
    return assigned(choice, found, facts).as_of(first.commit, first.subject, dirty=first.dirty)


def check_one_source(made: Mapping[str, Manifest]) -> None:
    """Check that the artifacts that a person names are of one source. Raises: Refused, where they are not."""
    if len({(manifest.version, manifest.tree) for manifest in made.values()}) > 1:
        each = "; ".join(f"{name} is {Artifact(Path(), manifest).label}" for name, manifest in made.items())
        raise Refused(f"--artifact names different sources: {each}", "one deploy puts one commit live on all hosts")


def choose(made: Mapping[str, Manifest], facts: Mapping[str, HostFacts]) -> dict[str, str]:
    """Return which of the artifacts each host gets, by names; one alone goes to all. Raises: Refused, as `fit`."""
    if len({manifest.sha256 for manifest in made.values()}) == 1:
        return dict.fromkeys(facts, next(iter(made)))
    return fit(offers_of(made), facts, what="artifact")


def chosen_artifact(
    named: str, inventory: Inventory, here: DirectoryStore, shared: SharedStore | None, emit: Emit
) -> Artifact:
    """Return the artifact that a person names by a key or a file. No repository and no build host is asked.

    Raises:
        Misuse: `named` is neither a key nor a file.
        Refused: neither store has the key, or the artifact is not what its manifest says or of another app.
    """
    if KEY.fullmatch(named):
        return _by_key(named, inventory, here, shared, emit)
    return _by_file(_file(named), inventory, here, emit)


def check_artifacts_alone(named: Sequence[str], *others: object) -> None:
    """Check the words after each `--artifact`, beside which no option may say what else to build.

    Raises: Misuse, where one is empty or one of `others` was given.
    """
    if any(not name.strip() for name in named):
        raise Misuse("--artifact: expected a key or the path of a file, found nothing", "is a variable empty?")
    if named and any(others):
        two = "--artifact and --ref, --release, --dirty or --rebuild say two different things"
        raise Misuse(two, "give one of them: an artifact is built already")


def chosen_manifest(named: str, inventory: Inventory, here: DirectoryStore, shared: SharedStore | None) -> Manifest:
    """Return the manifest of the artifact that `chosen_artifact` would return; nothing is copied to this machine.

    Raises:
        Misuse, Refused: as `chosen_artifact`, as far as the manifest alone tells.
    """
    if not KEY.fullmatch(named):
        return _manifest_of(_file(named), inventory)[2]
    if (kept := here.find(named)) is not None:
        return read_manifest(here.manifest_file(named).read_bytes(), inventory, f"{named}.json on this machine")
    if shared is None:
        raise _unknown(named, kept, None)
    try:
        text = read_text(shared, f"{named}.json", MOST_MANIFEST)
    except Absent:
        raise _unknown(named, kept, shared) from None
    return read_manifest(text, inventory, f"{named}.json in the store {shared.label}")


def _file(named: str) -> Path:
    """Return the path that a person typed. Raises: Misuse, where its ~ leads to no home directory."""
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise Misuse(f"--artifact {named}: there is no such user on this machine") from None


def _by_key(key: str, inventory: Inventory, here: DirectoryStore, shared: SharedStore | None, emit: Emit) -> Artifact:
    kept = here.find(key)
    if kept is not None and kept.is_unchanged():
        # An artifact with that key may be of another release of the app.
        read_manifest(here.manifest_file(key).read_bytes(), inventory, f"{key}.json on this machine")
        emit(Note("", f"from this machine: {inventory.app} {kept.label}"))
        return kept
    if shared is None:
        raise _unknown(key, kept, None)
    try:
        return pull(key, here, shared, inventory, emit)
    except Absent:
        raise _unknown(key, kept, shared) from None


def _unknown(key: str, kept: Artifact | None, shared: SharedStore | None) -> Refused:
    """Return the refusal of a key that neither store has."""
    changed = "it was changed on this machine since it was built" if kept else "this machine does not have it"
    if shared is None:
        return Refused(
            f"there is no artifact {key}: {changed}, and the inventory names no store (`build.store`)",
            "`fab ENV artifacts.list` shows those there are; a file is named by its path, such as ./KEY.json",
        )
    return Refused(
        f"there is no artifact {key}: {changed}, and the store {shared.label} does not have it",
        "`fab ENV artifacts.list` shows those there are; `artifacts.push` where it was built puts it there",
    )


def _by_file(file: Path, inventory: Inventory, here: DirectoryStore, emit: Emit) -> Artifact:
    """Return the artifact of a file, kept on this machine from now on."""
    manifest_file, text, manifest = _manifest_of(file, inventory)
    # A file may have any name: its content then decides the key.
    key = manifest_file.stem if KEY.fullmatch(manifest_file.stem) else manifest.sha256[:20]
    tarball = file if manifest_file != file else _tarball_beside(manifest_file, manifest)
    if not tarball.is_file():
        raise Misuse(f"--artifact {file}: there is no such file", "copy both files, KEY.json and KEY.tar.gz")

    def read(manifest: Manifest, sink: Sink) -> None:
        left = manifest.size
        with tarball.open("rb") as opened:
            while left and (piece := opened.read(min(left, PIECE))):
                left -= len(piece)
                sink(piece)

    kept = here.find(key)
    if kept is not None and kept.manifest == manifest and kept.is_unchanged():
        artifact = kept
    else:
        artifact = take_in(key, text, manifest, here, read, str(tarball))
        emit(Note("", f"from {tarball}: {inventory.app} {artifact.label}, kept as {key}"))
    _take_signature(signature_beside(file), signature_beside(tarball), key, here, emit)
    return artifact


def _manifest_of(file: Path, inventory: Inventory) -> tuple[Path, bytes, Manifest]:
    """Return the file of the manifest that `file` is or belongs to, its text, and it. Raises: Misuse, Refused."""
    found = TARBALL.fullmatch(file.name)
    manifest_file = file.with_name(f"{found['key']}.json") if found else file
    try:
        text = _read(manifest_file)
    except OSError as error:
        raise Misuse(
            f"--artifact {file}: {manifest_file} cannot be read: {error.strerror}",
            "give a key of 20 hexadecimal digits, or the path of KEY.json or KEY.tar.gz, which lie together",
        ) from None
    return manifest_file, text, read_manifest(text, inventory, str(manifest_file))


def signature_beside(file: Path) -> Path:
    """Return the path of the signature beside a manifest or a tarball, whether it is there or not."""
    return file.with_name(f"{file.name.removesuffix('.json').removesuffix('.tar.gz')}.sig")


def _take_signature(first: Path, second: Path, key: str, here: DirectoryStore, emit: Emit) -> None:
    """Keep the signature that lies beside a file, where there is one: it is of the artifact that a person names."""
    file = first if first.exists() or first.is_symlink() else second
    try:
        signature = read_signature(file)
    except Unsound as unsound:
        emit(Warn("", f"{file} {unsound}; it is left out"))
        return
    if signature is not None:
        here.keep_signature(key, signature.text)


def _tarball_beside(file: Path, manifest: Manifest) -> Path:
    """Return the tarball beside a manifest, by its name on this machine or its name in a shared store."""
    names = (f"{file.stem}.tar.gz", tarball_name(file.stem, manifest.sha256))
    beside = next((path for name in names if (path := file.with_name(name)).is_file()), None)
    if beside is None:
        raise Misuse(f"--artifact {file}: there is no {names[0]} beside it", "copy both files")
    return beside


def _read(file: Path) -> bytes:
    """Return the bytes of a manifest. Raises: OSError, Refused."""
    with file.open("rb") as opened:
        text = opened.read(MOST_MANIFEST + 1)
    if len(text) > MOST_MANIFEST:
        raise Refused(f"{file} is no manifest of an artifact: it has more than {MOST_MANIFEST} bytes")
    return text
