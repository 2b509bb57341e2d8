"""A bundle: its texts are those that `fab` sends, and its archive is what CodeDeploy's agent expects."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import msgspec
import pytest
import yaml

from tests.unit.integrate.test_fitness import MANIFEST
from warpbeam.build.artifact import Artifact
from warpbeam.deploy.finish import Finish
from warpbeam.deploy.lock import locked_parameters
from warpbeam.error import Misuse
from warpbeam.host.script import text_of
from warpbeam.integrate.bundle import hook_of, make_bundle, upload_phase
from warpbeam.integrate.codedeploy import settings_of
from warpbeam.integrate.revision import write_revision
from warpbeam.inventory.codedeploy import CodeDeploy
from warpbeam.inventory.read import read_inventory
from warpbeam.inventory.schema import Deploy, Host, Inventory

RELEASE = "20261123T120000Z"
HOSTS = {"web1": Host(name="web1")}
INVENTORY = Inventory(
    name="stage",
    org="acme",
    app="hello",
    hosts=HOSTS,
    deploy=Deploy(migrate="Hello.Release.migrate()"),
    codedeploy=CodeDeploy(migrate_group="first"),
)
EVENTS = ["BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService"]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    tarball = tmp_path / "x.tar.gz"
    tarball.write_bytes(b"a tarball")
    return Artifact(tarball, MANIFEST)


def test_the_text_of_a_phase_is_the_one_that_fab_sends_without_what_the_host_knows(artifact: Artifact) -> None:
    hook = hook_of(INVENTORY, artifact, RELEASE, "")

    upload = msgspec.structs.replace(upload_phase(INVENTORY, artifact, RELEASE, ""), token="abc")
    assert sorted([*hook.upload_text.splitlines(), "token=abc"]) == sorted(text_of(upload).splitlines())
    finish = text_of(Finish(**locked_parameters(INVENTORY, "abc"), keep=5, entry="e", job_id="1"))
    said = [*hook.finish_text.splitlines(), "token=abc", "entry=e", "job_id=1"]
    assert sorted(said) == sorted(finish.splitlines())


def test_phases_that_the_inventory_does_not_ask_for_have_no_text(artifact: Artifact) -> None:
    hook = hook_of(INVENTORY, artifact, RELEASE, "")
    assert (hook.admit_text, hook.sign_text, hook.migrate_group) == ("", "", "first")
    assert "Hello.Release.migrate()" in hook.migrate_text
    strict = msgspec.structs.replace(INVENTORY, deploy=Deploy(allowed_signers=Path("allowed")))
    hook = hook_of(strict, artifact, RELEASE, "a signature")
    assert "admit" in hook.admit_text
    assert hook.sign_text != ""
    assert hook.migrate_text == ""


def test_a_revision_belongs_to_root_and_its_hooks_can_be_run(artifact: Artifact) -> None:
    file = io.BytesIO()
    write_revision(make_bundle(INVENTORY, artifact, RELEASE, "a signature"), file)
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        entries = {entry.name: entry for entry in archive}
        spec = yaml.safe_load(archive.extractfile("appspec.yml").read())  # type: ignore[union-attr]

    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, "root")}
    assert (spec["version"], spec["os"], list(spec["hooks"])) == (0.0, "linux", EVENTS)
    # The agent deletes files of the previous revision before it copies new ones.
    assert "files" not in spec
    for hooks in spec["hooks"].values():
        (hook,) = hooks
        assert entries[hook["location"]].mode == 0o755
        assert hook["timeout"] <= 3600
    assert entries["warpbeam/release.tar.gz"].size == len(b"a tarball")
    assert entries["warpbeam/program"].mode == 0o644
    assert "warpbeam/signature" in entries


def test_a_revision_is_for_hosts_with_the_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "stage.yml"
    file.write_text(
        "org: acme\napp: hello\ngroups: {worker: {http: none, health: {rpc: 'Hello.well()'}}}\n"
        "hosts: {web1: {}, w1: {group: worker}, w2: {group: worker}, build1: {roles: [build]}}\n"
    )

    with pytest.raises(Misuse, match="web1 and w1 have different settings"):
        settings_of(read_inventory(file))
    assert settings_of(read_inventory(file, "@worker")).http.port is None
    assert settings_of(read_inventory(file, "web1")).http.port == 80
