"""A bundle: the phases of a deploy as texts with their parameters, which a host runs without a connection.

Each text is made by the code that sends phases over ssh (`warpbeam.host.script`). It leaves out the few fields that
only the host knows: `warpbeam/integrate/hook.sh` puts them before it.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.digest import digests, kind_of, links_of
from warpbeam.deploy.activate import JOBS, Activate
from warpbeam.deploy.admit import Admit
from warpbeam.deploy.finish import Finish
from warpbeam.deploy.history import NoteFailure, fields_of
from warpbeam.deploy.lock import Renew, Unlock, locked_parameters
from warpbeam.deploy.migrate import Migrate
from warpbeam.deploy.signatures import PlaceSignatures
from warpbeam.deploy.strategy import STRATEGIES
from warpbeam.deploy.upload import Upload
from warpbeam.deploy.verify import Verify
from warpbeam.helper.program import HELPER_VERSION, helper, record_file, suspects_file
from warpbeam.host.app import app_parameters
from warpbeam.host.facts import about
from warpbeam.host.health import health_parameters
from warpbeam.host.script import text_of
from warpbeam.integrate.phases import AsDeploy, Decide, Hook, Serves
from warpbeam.inventory.schema import Inventory
from warpbeam.network.cluster import node_ports
from warpbeam.version import VERSION

# Seconds for which the lease lasts from the end of one hook to the beginning of the next.
GAP_SECONDS = 300
# Seconds that a deployment waits for somebody else's lock: longer than a killed deployment can hold it.
WAIT_SECONDS = GAP_SECONDS + 30


class Bundle(msgspec.Struct, frozen=True):
    """An artifact, the name of its release on every host, its signature (or empty), and the texts that deploy it.

    `program` is what the deploy user runs, `run` what becomes the deploy user.
    """

    artifact: Artifact
    release: str
    signature: str
    program: str
    run: str


def make_bundle(inventory: Inventory, artifact: Artifact, release: str, signature: str) -> Bundle:
    """Return the bundle that deploys `artifact` as `release` on hosts of `inventory`. Pure."""
    run = text_of(AsDeploy(user=inventory.users.deploy))
    program = text_of(hook_of(inventory, artifact, release, signature))
    return Bundle(artifact, release, signature, f"{program}\n", f"#!/bin/bash\n{run}\n")


def hook_of(inventory: Inventory, artifact: Artifact, release: str, signature: str) -> Hook:
    """Return the program of a bundle, with the text of each phase of a deploy."""
    locked = locked_parameters(inventory, "")
    with_helper = {**locked, "helper": helper(inventory)}
    app = app_parameters(inventory)
    lock = {"root": app["root"], "token": ""}
    migrates = inventory.deploy.migrate
    told = about(artifact)
    note = NoteFailure(**app, token="", entry="")
    return Hook(
        root=app["root"],
        label=artifact.label,
        entry=fields_of(
            {"version": told.version, "commit": told.commit, "dirty": told.dirty, "warpbeam": VERSION},
        ),
        digest=digests(artifact)[0],
        signature=signature,
        wait=WAIT_SECONDS,
        lease=locked["lease"],
        gap=GAP_SECONDS,
        pause_before=inventory.deploy.pause,
        migrate_group=inventory.codedeploy.migrate_group or "",
        claim_text=text_of(decide_phase(inventory, artifact, release), later=("token", "text", "words")),
        upload_text=text_of(upload_phase(inventory, artifact, release, signature), later=("token",)),
        verify_text=text_of(Verify(**app, record=record_file(inventory), chosen=()), later=("chosen",)),
        sign_text=_if(
            inventory.admits and signature, PlaceSignatures(**locked, signatures=()), ("token", "signatures")
        ),
        admit_text=_if(inventory.admits, Admit(**with_helper, release=""), ("token", "release")),
        migrate_text=_if(migrates, Migrate(**with_helper, release="", expression=migrates or ""), ("token", "release")),
        activate_text=text_of(
            activate_phase(inventory), later=("token", "job_size", "remember", "job_id", "spent", "success", "entry")
        ),
        job_text=job_text(inventory),
        serves_text=text_of(serves_phase(inventory), later=("release",)),
        note_text=text_of(note, later=("token", "entry")),
        finish_text=text_of(
            Finish(**locked, keep=inventory.deploy.keep, entry="", job_id=""), later=("token", "entry", "job_id")
        ),
        unlock_text=text_of(Unlock(**lock), later=("token",)),
        renew_text=text_of(Renew(**lock, lease=0), later=("token", "lease")),
    )


def decide_phase(inventory: Inventory, artifact: Artifact, release: str) -> Decide:
    """Return the phase that claims a host and decides there; its holder and its token are the host's."""
    made = artifact.manifest
    return Decide(
        **locked_parameters(inventory, ""),
        helper=helper(inventory),
        text="",
        words="",
        take=True,
        weigh=STRATEGIES[inventory.deploy.strategy].second_instance,
        environment=inventory.name,
        suspects=suspects_file(inventory),
        release=release,
        made_digest=made.sha256,
        helper_version=HELPER_VERSION,
        made_cpu=made.toolchain.cpu,
        made_libc=made.toolchain.libc,
        made_os=made.toolchain.os,
        made_libcrypto=made.libcrypto,
        made_erts=made.erts,
        files_size=sum(item.size for item in artifact.files),
        files_count=len(artifact.files),
    )


def upload_phase(inventory: Inventory, artifact: Artifact, release: str, signature: str) -> Upload:
    """Return the phase that makes the release: all of it comes from the bundle's tarball."""
    return Upload(
        **locked_parameters(inventory, ""),
        release=release,
        base="",
        artifact=msgspec.json.encode(about(artifact)).decode(),
        group=inventory.app_user,
        runtime=kind_of(artifact),
        links=links_of(artifact),
        directories=artifact.manifest.directories,
        suspects=suspects_file(inventory),
        signature=signature,
    )


def activate_phase(inventory: Inventory) -> Activate:
    """Return the phase that starts the job; what it says of the deployment is the host's."""
    return Activate(
        **locked_parameters(inventory, ""),
        helper=helper(inventory),
        job_size=0,
        remember="",
        job_id="",
        spent=0,
        success="",
        entry=(),
        # The deployment goes on with `validate`, which prunes and gives the lock back.
        ends=False,
        keep=inventory.deploy.keep,
    )


def job_text(inventory: Inventory) -> str:
    """Return the text of the activation's job, without the release, the id, and whether the old release goes back."""
    deploy = inventory.deploy
    job = JOBS[deploy.strategy](
        **health_parameters(inventory),
        release="",
        drain=math.ceil(deploy.drain),
        balancer_drain=math.ceil(deploy.balancer_drain),
        withdraw=False,
        job_id="",
        publics=tuple(inventory.leads("a")),
    )
    return text_of(job, later=("release", "job_id", "withdraw"))


def serves_phase(inventory: Inventory) -> Serves:
    """Return the phase that checks whether the release still serves."""
    return Serves(
        **health_parameters(inventory),
        node_ports=node_ports(inventory),
        environment=inventory.name,
        release="",
    )


def _if(wanted: object, phase: Any, later: tuple[str, ...]) -> str:
    """Return the text of `phase`, or an empty text where it is not wanted."""
    return text_of(phase, later=later) if wanted else ""
