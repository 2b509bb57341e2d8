"""The finding of doctor on admission, and the settings that only setup would change."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.unit.doctor.test_diagnosis import INVENTORY, WELL
from warpbeam.doctor import diagnosis
from warpbeam.doctor.admitted import AdmittedCopy, AdmittedState, signers
from warpbeam.doctor.doctor import examine
from warpbeam.doctor.finding import Finding, addressed_findings
from warpbeam.error import Misuse, Problem, Refused
from warpbeam.event import silent
from warpbeam.fleet.fleet import LocalFleet
from warpbeam.inventory.schema import Deploy
from warpbeam.inventory.signers import expiry_of
from warpbeam.provision.difference import Difference
from warpbeam.provision.footprint import footprint
from warpbeam.provision.host_state import HostState, PathState

OLD, NEW = "20260101T000000Z", "20260102T000000Z"
FILE = PathState("regular file", "644", "root", "root", "")
ON = HostState((), {}, {"/etc/acme/hello/allowed_signers": FILE}, (), "")
OFF = HostState((), {}, {}, (), "")
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def said(
    reason: str = "",
    *names: str,
    live: str = NEW,
    found: HostState | Problem = ON,
    signature: str = "",
    allowed: str = "",
) -> Finding:
    """Return the finding about a host that has admitted `NEW` and has the releases `names`."""
    admitted = AdmittedState((AdmittedCopy(NEW, "a", reason),), live, names)
    seen = msgspec.structs.replace(WELL, signature=signature, clock=str(NOW.timestamp()))
    return signers("web1", INVENTORY, admitted, found, seen, allowed)


def test_admitted_releases_are_counted() -> None:
    assert said("", NEW) == Finding("web1", "signers", True, "1 release is admitted")
    assert said("", NEW, OLD).found == f"1 release is admitted; not admitted: {OLD}"


def test_a_host_before_setup_is_said_to_check_no_signature_yet() -> None:
    found = said("", OLD, live=OLD, found=OFF)

    assert (found.good, found.found) == (False, "it does not check signatures yet")
    assert "`fab stage setup --restart` switches that on" in found.mend
    assert "does not start again after a crash" in said("", OLD, live=OLD).found


def test_a_live_release_whose_signer_counts_no_more_is_signed_anew_and_restarted() -> None:
    found = said("its key is revoked", NEW)

    assert found.found == f"the signer of the live release {NEW} may not sign any more: its key is revoked"
    commands = ("`fab stage deploy`", "`fab stage restart`")
    assert [found.mend.index(command) for command in commands] == sorted(map(found.mend.index, commands))
    assert found.mend.startswith("sign it anew (`fab stage artifacts.sign KEY --key FILE`)")


@pytest.mark.parametrize(
    ("options", "until"),
    [
        ('valid-before="20261201Z" ', "2026-12-01"),
        ('namespaces="warpbeam-release",valid-before="20261227120000Z" ', "2026-12-27"),
        ('valid-before="20261229Z" ', ""),
        ("", ""),
    ],
)
def test_a_signer_of_what_is_live_who_expires_within_30_days_is_named(tmp_path: Path, options: str, until: str) -> None:
    key, text = tmp_path / "key", tmp_path / "text"
    text.write_text("any")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "warpbeam-release", text], check=True)
    signature = (tmp_path / "text.sig").read_text().rstrip("\n")

    found = said(signature=signature, allowed=f"# none\nbob@acme {options}{key.with_suffix('.pub').read_text()}")

    assert found.good is not bool(until)
    if until:
        assert found.found == f"the signer of the live release {NEW} may sign until {until} only"
        assert "`fab stage setup`" in found.mend


def test_a_key_without_a_line_or_with_a_day_that_is_none_has_no_end() -> None:
    line = "bob ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDOk0pM1lpp2TrtLyyd9oPVVGQzLH1z5uJvvsmQxUAZL"

    assert expiry_of("SHA256:other", line) is None
    assert said(signature="no signature", allowed=line).good


def test_a_missing_file_of_signers_is_a_misuse_before_any_host_is_asked(tmp_path: Path) -> None:
    deploy = Deploy(allowed_signers=tmp_path / "missing")

    with pytest.raises(Misuse, match=r"deploy\.allowed_signers: .*/missing is no file"):
        examine(LocalFleet(msgspec.structs.replace(INVENTORY, deploy=deploy)), silent)


def test_a_unit_that_only_setup_would_change_asks_for_no_restart() -> None:
    want = footprint(INVENTORY, INVENTORY.hosts["web1"], {}, "", None)
    unit = next(file for file in want.files if file.path.endswith("@.service"))
    there = msgspec.structs.replace(FILE, sha256="other", changed=5)
    paths = {file.path: msgspec.structs.replace(FILE, sha256=file.sha256, changed=5) for file in want.files}

    def settings(started: int, changed: PathState) -> Finding:
        state = HostState((), {}, {**paths, unit.path: changed}, (), "", started=started)
        rows = diagnosis.converged("web1", want, Difference(), state, WELL, "stage")
        return next(each for each in rows if each.check == "settings")

    found = settings(9, there)
    assert (found.good, found.found) == (True, "the app runs with what is there; `setup` would change hello@.service")
    assert settings(9, paths[unit.path]).found == "the app runs with what is there"
    found = settings(9, msgspec.structs.replace(there, changed=10))
    assert (found.good, found.mend) == (False, "`fab stage setup --restart`")
    found = settings(9, msgspec.structs.replace(paths[unit.path], changed=10))
    assert (found.good, found.mend) == (False, "`fab stage restart`")


def test_findings_name_the_environment_in_their_commands() -> None:
    refused = Refused("it is not set up", "`fab ENV setup` first")

    (found,) = addressed_findings([diagnosis.contents("web1", refused)], "stage")

    assert found.mend == "`fab stage setup` first"
    assert diagnosis.contents("web1", {}).found == "0 releases as they were deployed"
