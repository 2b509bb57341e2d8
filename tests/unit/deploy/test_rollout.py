"""A rollout: what becomes of each host, and what is asked of it, put together from the answers of all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.deploy.test_plan import facts
from tests.unit.deploy.test_plan import release as a_release
from tests.unit.phases import Answer, TableFleet
from warpbeam.deploy.activate import Activate, Ended
from warpbeam.deploy.cancel import Cancel, Ending, Undone
from warpbeam.deploy.finish import Finish, Finished, finish_hosts
from warpbeam.deploy.follow import Activated
from warpbeam.deploy.history import HistoryWriter
from warpbeam.deploy.lock import Lease
from warpbeam.deploy.outcome import CheckFailure, HostOutcome, Rollout, hosts_to_bring_back, rollout_problem
from warpbeam.deploy.plan import Plan
from warpbeam.deploy.plan_restart import plan_restart
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.rollout import activate_in_batches
from warpbeam.error import Failed, Lost, Refused
from warpbeam.event import silent
from warpbeam.host.facts import Holder, HostFacts
from warpbeam.host.phase import Phase

NAMES = ("web1", "web2", "web3", "web4")
LIVE = Activated(slot="b", release="20261123T000000Z", left="", pid=1, seconds=1)
GIVEN_BACK = Activated(slot="b", release="20261123T000000Z", left="", pid=1, seconds=1, given_back=True)
BROKEN = Failed("it broke", "mend it", ("a last line",), host="web2")
STOP, ROLLBACK = Policy("100%"), Policy("100%", on_failure="rollback")


def host_facts() -> dict[str, HostFacts]:
    return {name: facts(a_release("1", "1.0")) for name in NAMES}


def prepared(answer: Answer) -> tuple[TableFleet, HistoryWriter]:
    """Return a fleet, and the writer of the history of a restart of all its hosts."""
    fleet = TableFleet(NAMES, answer)
    plan = plan_restart(fleet.inventory, host_facts())
    lease = Lease("token", Holder(who="me"), host_facts())
    return fleet, HistoryWriter(plan, lease, datetime.now(UTC))


def plan_of_restart() -> Plan:
    return prepared(lambda name, phase: None)[1].plan


def test_hosts_change_until_one_fails_and_each_has_its_outcome() -> None:
    def answer(name: str, phase: Phase[Any]) -> Any:
        if name == "web2":
            raise BROKEN
        return Ended(LIVE, given_back=False)

    fleet, writer = prepared(answer)
    rollout = activate_in_batches(fleet, Policy("2"), writer, {}, silent)

    assert rollout.changed == ["web1"]
    assert rollout.problems == {"web2": BROKEN}
    assert fleet.hosts_asked("activate") == ["web1", "web2"]
    assert rollout.unfinished_job("web2")
    assert [rollout.unfinished_job(name) for name in ("web1", "web3")] == ["", ""]


def test_an_interrupt_cancels_the_activations_that_began_and_no_other() -> None:
    jobs: dict[str, str] = {}
    cancelled: dict[str, str] = {}

    def answer(name: str, phase: Phase[Any]) -> Any:
        if isinstance(phase, Cancel):
            cancelled[name] = phase.job_id
            return Ending(failed=Undone("it was asked to stop"))
        assert isinstance(phase, Activate)
        jobs[name] = phase.job_id
        if name == "web2":
            raise KeyboardInterrupt
        return Ended(LIVE, given_back=False)

    fleet, writer = prepared(answer)
    with pytest.raises(KeyboardInterrupt):
        activate_in_batches(fleet, Policy("2"), writer, {}, silent)

    # web1 has answered; web3 and web4 were not begun.
    assert cancelled == {"web2": jobs["web2"]}


def test_an_activation_that_cannot_be_cancelled_keeps_no_other_from_being() -> None:
    def answer(name: str, phase: Phase[Any]) -> Any:
        if isinstance(phase, Activate):
            raise KeyboardInterrupt
        if name == "web1":
            raise Refused("that activation did not begin", host=name)
        return Ending(failed=Undone("it was asked to stop"))

    fleet, writer = prepared(answer)
    with pytest.raises(KeyboardInterrupt):
        activate_in_batches(fleet, STOP, writer, {}, silent)

    assert fleet.hosts_asked("cancel") == list(NAMES)


def test_on_the_last_hosts_alone_the_activation_gives_the_lock_back() -> None:
    ends: dict[str, bool] = {}

    def answer(name: str, phase: Phase[Any]) -> Any:
        assert isinstance(phase, Activate)
        ends[name] = phase.ends
        return Ended(LIVE, given_back=False)

    fleet, writer = prepared(answer)
    activate_in_batches(fleet, Policy("3"), writer, {}, silent)
    assert ends == {"web1": False, "web2": False, "web3": False, "web4": True}

    activate_in_batches(fleet, Policy("3", on_failure="rollback"), writer, {}, silent)
    assert not any(ends.values())


def test_hosts_finish_that_have_not_and_the_lease_knows_who_gave_its_lock_back() -> None:
    entries: dict[str, tuple[str, str]] = {}

    def answer(name: str, phase: Phase[Any]) -> Any:
        assert isinstance(phase, Finish)
        entries[name] = (phase.entry, phase.job_id)
        if name == "web3":
            raise Lost("it is gone", host=name)
        return Finished(pruned=())

    fleet, writer = prepared(answer)
    rollout = Rollout(
        outcomes=(
            HostOutcome("web1", "1a", GIVEN_BACK),
            HostOutcome("web2", "2a", problem=BROKEN),
            HostOutcome("web3", "3a", LIVE),
            HostOutcome("web4", "4a", LIVE),
        )
    )
    unfinished = finish_hosts(fleet, rollout, writer, silent)

    assert [problem.host for problem in unfinished] == ["web3"]
    assert writer.lease.given_back == {"web1", "web2", "web4"}
    assert fleet.hosts_asked("finish") == ["web2", "web3", "web4"]
    assert '"problem":"web2: it broke"' in entries["web2"][0]
    assert entries["web2"][1] == "2a"
    assert entries["web4"] == ("", "")


def test_after_a_failure_the_policy_says_which_hosts_go_back() -> None:
    failed = Rollout(outcomes=(HostOutcome("web1", "1a", LIVE), HostOutcome("web2", "2a", problem=BROKEN)))

    assert hosts_to_bring_back(failed, STOP) == []
    assert hosts_to_bring_back(failed, ROLLBACK) == ["web1"]
    assert hosts_to_bring_back(Rollout(outcomes=(HostOutcome("web1", "1a", LIVE),)), ROLLBACK) == []


def test_a_host_that_became_unhealthy_goes_back_and_one_that_cannot_be_asked_stays() -> None:
    rollout = Rollout(
        outcomes=(HostOutcome("web1", "1a", LIVE), HostOutcome("web2", "2a", LIVE)),
        failures=(CheckFailure("web1", Lost("gone"), sick=False), CheckFailure("web2", BROKEN, sick=True)),
    )

    assert hosts_to_bring_back(rollout, STOP) == ["web2"]


def test_a_hook_that_fails_after_an_activation_leaves_the_host_changed() -> None:
    rollout = Rollout(outcomes=(HostOutcome("web2", "2a", LIVE, BROKEN),))

    assert rollout.changed == ["web2"]
    assert rollout.problems == {"web2": BROKEN}
    assert rollout.unfinished_job("web2") == ""


def test_the_problem_of_a_rollout_says_what_every_host_runs_now() -> None:
    plan = plan_of_restart()
    rollout = Rollout(
        outcomes=(
            HostOutcome("web1", "1a", LIVE),
            HostOutcome("web2", "2a", problem=BROKEN),
            HostOutcome("web3", "3a", LIVE),
        ),
        returns=(HostOutcome("web1", "1b", LIVE),),
    )

    problem = rollout_problem(plan, rollout)

    assert problem.message == (
        f"web2: it broke; web3 runs {plan.label} already; web1 was brought back to what ran before; "
        "web4 was not touched"
    )
    assert (type(problem), problem.hint, problem.details) == (Failed, "mend it", ("a last line",))


def test_a_host_that_could_not_go_back_is_a_second_problem_after_the_first() -> None:
    stuck = Failed("it cannot go back", host="web1")
    rollout = Rollout(
        outcomes=(HostOutcome("web1", "1a", LIVE), HostOutcome("web2", "2a", problem=BROKEN)),
        returns=(HostOutcome("web1", "1b", problem=stuck),),
    )

    assert list(rollout.problems.items()) == [("web2", BROKEN), ("web1", stuck)]
    assert (rollout.changed, rollout.brought_back) == ([], [])
    assert rollout.unfinished_job("web1") == "1b"


def test_only_where_every_host_was_lost_the_rollout_is() -> None:
    plan, lost = plan_of_restart(), Lost("gone", host="web1")

    assert type(rollout_problem(plan, Rollout(outcomes=(HostOutcome("web1", problem=lost),)))) is Lost
    both = (HostOutcome("web1", problem=lost), HostOutcome("web2", problem=BROKEN))
    assert type(rollout_problem(plan, Rollout(outcomes=both))) is Failed
