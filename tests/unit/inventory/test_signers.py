"""The files of signers, as this machine checks them before any host is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Deploy, Host, Inventory
from warpbeam.inventory.signers import MOST, read_signers, signer_findings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDOk0pM1lpp2TrtLyyd9oPVVGQzLH1z5uJvvsmQxUAZL"
INVENTORY = Inventory(org="acme", app="hello", hosts={"web1": Host(name="web1")})


def named(allowed: Path | None, revoked: Path | None = None) -> Inventory:
    """Return an inventory that names these files."""
    return msgspec.structs.replace(INVENTORY, deploy=Deploy(allowed_signers=allowed, revoked_signers=revoked))


@pytest.mark.parametrize(
    "line",
    [
        f"bob@acme {KEY}",
        f"bob@acme,alice {KEY} a comment",
        f'bob@acme namespaces="warpbeam-release,git" {KEY}',
        f'bob@acme cert-authority,valid-after="20260101",valid-before="20270101Z" {KEY} bob',
        f'bob@acme valid-after="202601011200",valid-before="20270101120000Z" {KEY}',
        f'"bob@acme" namespaces="a b" {KEY}',
        f"# a comment\n\n*@acme {KEY}",
    ],
)
def test_lines_that_ssh_keygen_takes_are_signers(tmp_path: Path, line: str) -> None:
    (tmp_path / "allowed").write_text(line)

    assert read_signers(named(tmp_path / "allowed")) == (f"{line}\n", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "expected a line"),
        (b"# nobody\n", "expected a line"),
        (KEY.encode(), ":1: expected principals, options and a public key"),
        (b"bob@acme ssh-ed25519\n", ":1: expected principals"),
        (f"bob@acme {KEY}\nbob ssh-rsa {KEY.split()[1]}\n".encode(), ":2: expected principals"),
        (f"bob acme {KEY}".encode(), ":1: expected principals"),
        # ssh-keygen would leave the line out, and say so only where somebody verifies.
        (f'bob@acme valid-before="2027-01-01" {KEY}'.encode(), ":1: expected principals"),
        (f'bob@acme valid-before="20271301" {KEY}'.encode(), ":1: expected principals"),
        (f'bob@acme valid-before="next year" {KEY}'.encode(), ":1: expected principals"),
        (f'bob@acme valid-after="20270101",valid-before="20260101" {KEY}'.encode(), ":1: expected principals"),
        (f'bob@acme valid-before="20270101",valid-before="20280101" {KEY}'.encode(), ":1: expected principals"),
        (f"bob {KEY}\nalice {KEY} again\n".encode(), ":2: expected another key than in line 1"),
        (b"SSHKRL\n\0\xff", "expected text"),
        (b"x" * (MOST + 1), "at most"),
    ],
)
def test_a_file_that_lets_nobody_sign_is_refused_with_its_line(tmp_path: Path, text: bytes, why: str) -> None:
    (tmp_path / "allowed").write_bytes(text)

    with pytest.raises(Misuse, match=r"deploy\.allowed_signers") as refused:
        read_signers(named(tmp_path / "allowed"))
    assert why in refused.value.reason


def test_a_file_that_is_missing_or_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Misuse, match="is no file"):
            read_signers(named(path))


def test_revoked_keys_are_public_keys_and_need_signers_beside_them(tmp_path: Path) -> None:
    (tmp_path / "allowed").write_text(f"bob {KEY}\n")
    (tmp_path / "revoked").write_text(f"{KEY} bob\n")

    assert read_signers(named(tmp_path / "allowed", tmp_path / "revoked"))[1] == f"{KEY} bob\n"
    (tmp_path / "revoked").write_text(f"bob {KEY}\n")
    with pytest.raises(Misuse, match=r"deploy\.revoked_signers"):
        read_signers(named(tmp_path / "allowed", tmp_path / "revoked"))
    assert [found.keys[0] for found in signer_findings(named(None, tmp_path / "revoked"))] == [
        ("deploy", "revoked_signers")
    ]
    assert [*signer_findings(named(tmp_path / "allowed", tmp_path / "revoked"))] == []
