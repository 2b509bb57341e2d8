"""Deploys by AWS CodeDeploy: from what a user asks for to the file that its agent deploys on each instance."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.build import build_hosts, find_or_build
from warpbeam.build.signing import sign_kept
from warpbeam.deploy.builds import only_builder
from warpbeam.deploy.named_artifact import chosen_artifact
from warpbeam.deploy.plan import NAME
from warpbeam.deploy.signatures import check_signatures
from warpbeam.deploy.target import TargetRequest, source_of, store_of
from warpbeam.error import Failed, Misuse
from warpbeam.event import Emit, Note, Settled, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Count, ReleaseName, Sha256, Version, Word
from warpbeam.integrate.bundle import make_bundle
from warpbeam.integrate.revision import write_revision
from warpbeam.inventory.group import group_parts
from warpbeam.inventory.schema import Inventory
from warpbeam.size import size

# Seconds that the waits of a hook may take at most: the agent gives it an hour (`revision.py`).
MOST_WAITED = 3000


class Revision(msgspec.Struct, frozen=True):
    """A revision that was written: `file`, the release that it puts live, and of which artifact that is."""

    file: str
    size: Count
    release: ReleaseName
    version: Version
    commit: Word
    artifact: Sha256


def bundle(fleet: Fleet, asked: TargetRequest, output: Path | None, emit: Emit) -> Revision:
    """Write the revision of the artifact that was asked for to `output`; None: to a file below `.warpbeam`.

    Raises:
        Misuse: several hosts have the role build, or none; app hosts have different settings; the directory of `output`
            does not exist.
        Refused: the artifact has no signature that counts; as `find_or_build` and `chosen_artifact`.
        Failed: the build failed, or the file could not be written.
    """
    inventory = fleet.inventory
    settings = settings_of(inventory)
    if output is not None:
        _check_output(output)
    _check_times(settings)
    artifact = _artifact(fleet, asked, emit)
    signatures = check_signatures((artifact,), inventory, store_of(fleet, asked.project), asked.shared, emit)
    _warn_of_hooks(settings, emit)
    release = datetime.now(UTC).strftime(NAME)
    made = make_bundle(settings, artifact, release, signatures[artifact.manifest.sha256])
    if output is None:
        output = asked.project / ".warpbeam" / "codedeploy" / f"{inventory.name}-{inventory.app}-{release}.tgz"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=".revision-", delete=False) as file:
            try:
                write_revision(made, file)
                file.close()
                Path(file.name).replace(output)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise Failed(f"{output} could not be written: {error.strerror}", "is there room?") from None
    length = output.stat().st_size
    emit(Settled("", f"{output}: {inventory.app} {artifact.label} as {release}, {size(length)}"))
    manifest = artifact.manifest
    return Revision(os.fspath(output), length, release, manifest.version, manifest.commit, manifest.sha256)


def _check_output(output: Path) -> None:
    """Check that `output` may be written, before a build that takes minutes. Raises: Misuse."""
    if output.is_dir() or not output.parent.is_dir():
        raise Misuse(f"--output {output}: expected a file in a directory that exists", "such as ./revision.tgz")
    if output.exists() and not output.is_file():
        raise Misuse(f"--output: expected a file, found {output}", "name a file that is new, or that may be replaced")


def settings_of(inventory: Inventory) -> Inventory:
    """Return the environment as it is for the chosen app hosts. Raises: Misuse, where it is not the same for all."""
    hosts = inventory.app_hosts
    if not hosts and not inventory.own:
        return inventory
    groups = [f"`-H @{group}`" for group in inventory.groups] or ["`-H` with the hosts that have the same"]
    each = f"make a revision for each: {', '.join(groups)}"
    if not hosts:
        message = (
            "no app host is chosen, hosts have settings of their own, and a revision is for instances with the same"
        )
        raise Misuse(message, each)
    first = _of_an_instance(inventory.of(hosts[0]))
    other = next((host for host in hosts if _of_an_instance(inventory.of(host)) != first), None)
    if other is not None:
        raise Misuse(
            f"{hosts[0].name} and {other.name} have different settings, and a revision is for instances with the same",
            each,
        )
    return inventory.of(hosts[0])


def _check_times(inventory: Inventory) -> None:
    """Check that the agent does not end a hook before its work is done. Raises: Misuse."""
    deploy, health = inventory.deploy, inventory.health
    switch = deploy.balancer_drain + deploy.drain + health.deadline + health.settle
    for what, seconds in (
        ("deploy.balancer_drain, deploy.drain, health.deadline and health.settle together", switch),
        ("deploy.pause", deploy.pause),
    ):
        if seconds > MOST_WAITED:
            raise Misuse(
                f"{what} are {seconds:g} s; expected at most {MOST_WAITED}, since the agent ends a hook after an hour",
                "shorten them for this environment",
            )


def _of_an_instance(inventory: Inventory) -> tuple[object, ...]:
    """Return the settings that a revision has: what a group may set, but the size of its batches."""
    parts = (getattr(inventory, part) for part in group_parts() if part != "deploy")
    return (*parts, inventory.deploy.migrate)


def _artifact(fleet: Fleet, asked: TargetRequest, emit: Emit) -> Artifact:
    """Return the artifact that was asked for: one that is kept, or that is built now. No app host is asked."""
    store = store_of(fleet, asked.project)
    if asked.named:
        if len(asked.named) > 1:
            raise Misuse("--artifact: a revision holds one artifact", "make a revision for each kind of instance")
        artifact = chosen_artifact(asked.named[0], fleet.inventory, store, asked.shared, emit)
        sign_kept(artifact, fleet.inventory, store, emit)
        return artifact
    source = source_of(fleet, asked.project, asked.ref, dirty=asked.dirty)
    builders = build_hosts(fleet.inventory)
    if len(builders) > 1:
        names = ", ".join(host.name for host in builders)
        raise Misuse(
            f"{names} have the role build, and a revision holds one artifact",
            f"-H {builders[0].name} builds there; make a revision for each kind of instance",
        )
    builds = only_builder(fleet, builders[0], [], source, emit)
    made = find_or_build(fleet, builds.recipes, store, emit, anew=asked.anew, shared=asked.shared)
    return made[builders[0].name][1]


def _warn_of_hooks(inventory: Inventory, emit: Emit) -> None:
    """Warn of hooks of the inventory that only `fab` runs."""
    left_out = [name for name in inventory.hooks if name not in ("setup", "build")]
    if left_out:
        what = f"hooks of the inventory are not in the bundle: {', '.join(left_out)}"
        emit(Warn("", f"{what}; add hooks of CodeDeploy's own for what they do"))
    if inventory.deploy.migrate is not None and inventory.codedeploy.migrate_group is None:
        what = "every instance runs the migrations before its switch"
        emit(Note("", f"{what}: `codedeploy.migrate_group` names the deployment group that does"))
