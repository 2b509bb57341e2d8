"""Admission switched on where an unsigned release is live, in the order of docs/admission.md; doctor beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.admission import ADMITTED, HOST, Admission
from tests.environment import LabEnvironment


@pytest.fixture
def admission(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A host with an unsigned release of this run; nothing is checked there."""
    made = Admission(environment, tmp_path_factory.mktemp("signers"))
    environment.write(**made.settings)
    environment.version(f"9.5.{int(time.time()) % 100_000}")
    environment.fab("deploy")
    yield made
    environment.write(**made.settings)
    environment.fab("setup", "--restart")
    environment.write()


def doctor(environment: LabEnvironment) -> dict[str, dict[str, str]]:
    """Return what doctor says of HOST, by check."""
    said = environment.fab("doctor", "--json", expect=None)
    return {row["check"]: row for row in json.loads(said.stdout) if row["host"] == HOST}


def test_a_deploy_of_what_is_live_signs_it_and_setup_then_admits_it(admission: Admission) -> None:
    environment = admission.environment
    signed = {"sign": {"key": str(admission.alice.key)}}
    admission.write(admission.alice.allowed(), build=signed)
    assert "would not be admitted: it has no signature" in environment.fab("setup", expect=3).stderr

    before = doctor(environment)
    assert before["signers"]["found"] == "it does not check signatures yet"
    assert before["settings"]["ok"], before["settings"]
    done = environment.fab("deploy")
    assert "is live on every host already" in done.stderr
    assert "1 signature written beside releases that it had already" in done.stderr
    environment.fab("setup", "--restart")

    assert admission.live().startswith(ADMITTED)
    assert doctor(environment)["signers"]["found"].startswith("1 release is admitted")
    # The host's own copy of the signature names a key that ends soon.
    end = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y%m%dZ")
    admission.write(admission.alice.allowed(f'valid-before="{end}"'), build=signed)
    found = doctor(environment)["signers"]
    assert f"may sign until {end[:4]}-{end[4:6]}-{end[6:8]} only" in found["found"]
    assert "`fab stage restart`" in found["mend"]

    # A key that is revoked: signed anew, written by a deploy, taken by a restart.
    both = admission.alice.allowed() + admission.bob.allowed()
    admission.write(both, revoked=f"{admission.alice.public}\n")
    environment.fab("setup")
    assert "may not sign any more" in doctor(environment)["signers"]["found"]
    (row,) = [each for each in json.loads(environment.fab("artifacts.list", "--json").stdout) if each["live"]]
    environment.fab("artifacts.sign", row["key"], "--key", str(admission.bob.key))
    environment.fab("deploy", "--artifact", row["key"])
    environment.fab("restart")
    assert doctor(environment)["signers"]["ok"]
