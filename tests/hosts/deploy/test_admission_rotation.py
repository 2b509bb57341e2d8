"""Admission: with `deploy.allowed_signers` a host runs only what root has verified and copied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admission import ADMITTED, HOST, Admission
from tests.background import eventually
from tests.environment import LabEnvironment


@pytest.fixture(scope="module")
def admission(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A host that admits what alice signs; its live release is hers."""
    made = Admission(environment, tmp_path_factory.mktemp("signers"))
    # A lab that was kept may have some.
    made.as_deploy("rm -f $R/releases/*/.warpbeam/signature")
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
    """Have somebody with the deploy key and an inventory of their own deploy a version that nobody signed; its name."""
    environment = admission.environment
    file = environment.inventories / "stage.yml"
    ours = file.read_text()
    environment.write(**admission.settings)
    environment.version(version)
    refused = environment.fab("deploy", expect=4)
    file.write_text(ours)
    release = admission.releases()[-1]
    assert f"the release {release} is not admitted on this host" in refused.stderr
    return release


def test_an_unsigned_release_is_refused_and_a_signed_one_runs_from_roots_tree(admission: Admission) -> None:
    before = admission.live()
    assert before.startswith(ADMITTED)

    release = deployed(admission, "7.1.0")
    refused = admission.environment.fab("rollback", "--to", release, expect=3)
    assert f"the release {release} is not admitted: it has no signature" in refused.stderr
    assert admission.live() == before

    admission.sign(release, admission.alice)
    admission.environment.fab("rollback", "--to", release)

    assert admission.live() == f"{ADMITTED}/{release}"
    assert admission.environment.status()[HOST]["release"] == release
    assert admission.environment.served(HOST)["version"] == "7.1.0"


def test_a_release_of_a_revoked_or_expired_signer_is_not_rolled_back_to(admission: Admission) -> None:
    environment, old = admission.environment, admission.live().rpartition("/")[2]
    release = deployed(admission, "7.2.0")
    admission.sign(release, admission.bob)
    refused = environment.fab("rollback", "--to", release, expect=3)
    assert f"{release} is not admitted: its signature is by no key of allowed_signers" in refused.stderr

    # Rotation: both count for a while, then bob alone. What alice signed runs on.
    admission.write(admission.alice.allowed() + admission.bob.allowed('namespaces="warpbeam-release"'))
    environment.fab("setup")
    environment.fab("rollback", "--to", release)
    assert admission.live() == f"{ADMITTED}/{release}"
    admission.write(admission.alice.allowed() + admission.bob.allowed(), revoked=f"{admission.alice.public}\n")
    environment.fab("setup")

    assert old not in admission.admitted()
    refused = environment.fab("rollback", "--to", old, expect=3)
    assert f"{old} is not admitted: the key of its signer 'alice@acme' is revoked" in refused.stderr
    assert admission.live() == f"{ADMITTED}/{release}"
    admission.write(admission.bob.allowed('valid-before="20200101"'))
    warned = environment.fab("setup")
    assert f"the live release {release}: the key of its signer has expired" in warned.stderr
    # A restart, a crash and a boot need no signer.
    environment.fab("restart")
    admission.lab.crash(HOST)
    admission.lab.boot(HOST)
    assert eventually(lambda: admission.live() == f"{ADMITTED}/{release}")
    said = environment.fab("doctor", expect=None)
    assert f"the signer of the live release {release} may not sign any more" in said.stdout + said.stderr
    admission.write(admission.alice.allowed() + admission.bob.allowed())
    environment.fab("setup")


def test_console_rpc_and_eval_are_the_admins_and_migrations_are_the_inventorys(admission: Admission) -> None:
    environment = admission.environment
    assert environment.fab("rpc", "1 + 1").stdout.strip() == "2"
    assert environment.fab("eval", "1 + 2").stdout.strip() == "3"

    for verb in ("console", "rpc", "eval"):
        assert "not allowed" in admission.call(verb, "1").stderr, verb
    release = admission.live().rpartition("/")[2]
    slot = "a" if environment.status()[HOST]["slot"] == "a" else "b"
    own = 'File.write!("/var/lib/hello/mine", "x")'
    refused = admission.call("migrate", f"{release}\n{len(own)}\n{own}").stderr
    assert "the expression is not that of the inventory" in refused
    assert "the expression is not that of the inventory" in admission.call("well", f"{slot}\n{own}").stderr
    assert admission.as_root("ls /var/lib/hello/mine 2>/dev/null", check=False) == ""
