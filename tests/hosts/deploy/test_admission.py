"""Admission: with `deploy.allowed_signers` a host runs only what root has verified and copied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admission import ADMITTED, HOST, Admission
from tests.environment import LabEnvironment


@pytest.fixture(scope="module")
def admission(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A host that admits what alice signs; its live release is hers."""
    made = Admission(environment, tmp_path_factory.mktemp("signers"))
    made.write(made.alice.allowed())
    refused = environment.fab("setup", expect=3)
    assert "would not be admitted: it has no signature" in refused.stderr
    made.sign(made.live().rpartition("/")[2], made.alice)
    environment.fab("setup", "--restart")
    yield made
    environment.write(**made.settings)
    environment.fab("setup", "--restart")
    assert made.as_root("ls -d $A /etc/acme/hello/allowed_signers 2>&1", check=False).count("No such file") == 2
    environment.write()


def deployed(admission: Admission, version: str) -> str:
    """Upload a version, which nobody has signed; its name."""
    admission.environment.version(version)
    refused = admission.environment.fab("deploy", expect=3)
    assert "is not admitted: it has no signature" in refused.stderr
    return admission.releases()[-1]


def test_an_unsigned_release_is_refused_and_a_signed_one_runs_from_roots_tree(admission: Admission) -> None:
    before = admission.live()
    assert before.startswith(ADMITTED)

    release = deployed(admission, "admitted 1")
    assert admission.live() == before

    admission.sign(release, admission.alice)
    admission.environment.fab("rollback", "--to", release)

    assert admission.live() == f"{ADMITTED}/{release}"
    assert admission.environment.status()[HOST]["release"] == release
    assert admission.environment.served(HOST)["version"] == "admitted 1"
