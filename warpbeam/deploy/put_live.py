"""The record of what was put live, on this machine and in the shared store: what `artifacts.prune` keeps."""

from __future__ import annotations

import msgspec

from warpbeam.deploy.plan import Plan
from warpbeam.error import Failed, Problem, restated
from warpbeam.event import Emit, Warn
from warpbeam.store.shared import SharedStore
from warpbeam.store.store import PutLive, Store
from warpbeam.store.transfer import push_live


def rolled_back(plan: Plan) -> PutLive | None:
    """Return what the hosts of a rollback say they have gone back to; None where they say different things.

    A host's word: it is enough to keep artifacts from being pruned, and decides nothing else.
    """
    abouts = [step.about for step in plan.hosts]
    found = {(step.about.commit, step.about.subject, step.about.dirty, step.release) for step in plan.hosts}
    if len(found) != 1:
        return None
    digest, *others = dict.fromkeys(about.sha256 for about in abouts)
    return PutLive(digest, abouts[0].commit, abouts[0].subject, abouts[0].dirty, plan.hosts[0].release, tuple(others))


def share_live(live: PutLive | None, shared: SharedStore, environment: str, emit: Emit) -> None:
    """Record in the shared store what is live in `environment`, or warn that this was not possible."""
    if live is None:
        return
    try:
        push_live(live, shared, environment)
    except (Problem, OSError) as problem:
        what = f"the store {shared.label} does not know what is live in {environment} now"
        emit(Warn("", f"{what}, so `artifacts.prune --store` may remove it there: {problem}"))


def note_live(store: Store, environment: str, live: PutLive) -> None:
    """Note in `store` what was put live in `environment`, beside what is live there of the same commit already."""
    before = store.last_live(environment)
    if before is not None and before.release == live.release and _is_more_of(live, before):
        # Also when another commit has the same source: hosts keep the commit that it was first deployed as.
        live = msgspec.structs.replace(before, others=tuple(dict.fromkeys((*before.digests, *live.digests)))[1:])
    elif before is not None and before.commit == live.commit and not (before.dirty or live.dirty):
        # Another -H may have put it live on hosts of another kind: their artifacts are still needed.
        others = dict.fromkeys((*live.digests, *before.digests))
        live = msgspec.structs.replace(live, others=tuple(others)[1:])
    if live == before:
        return
    try:
        store.note_live(environment, live)
    except Failed as failed:
        raise restated(failed, Failed, "; the release is live, and this machine has not noted that") from None


def _is_more_of(live: PutLive, before: PutLive) -> bool:
    """Whether `live` is what was live `before`, or the same commit for another kind of host."""
    return live.commit == before.commit or not set(live.digests).isdisjoint(before.digests)
