"""The settings of Hex, and the keys of a build: where they come from, and which are refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from warpbeam.build.hex import Access, fetch_access
from warpbeam.error import Misuse
from warpbeam.inventory.read import read_inventory
from warpbeam.inventory.schema import Inventory


def inventory(directory: Path, **build: Any) -> Inventory:
    file = directory / "stage.yml"
    file.write_text(json.dumps({"org": "acme", "app": "hello", "hosts": {"web1": {}}, "build": build}))
    return read_inventory(file)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_build_without_keys_has_none(tmp_path: Path) -> None:
    assert fetch_access(inventory(tmp_path, secrets={"A": {"env": "NOT_ASKED_FOR"}})) == Access()


def test_keys_of_repositories_come_from_build_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORP_KEY", "corp key\n")
    public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    (tmp_path / "acme.pem").write_text(public)
    (tmp_path / "id").write_text("a private key")

    access = fetch_access(
        inventory(
            tmp_path,
            secrets={"CORP": {"env": "CORP_KEY"}, "ACME": {"command": "echo acme key"}, "GIT": {"file": "id"}},
            hex={
                "organizations": {"corp": "CORP"},
                "repositories": {"acme": {"url": "https://hex.acme.example", "key": "ACME"}},
                "public_keys": {"acme": "acme.pem"},
            },
            deploy_key="GIT",
        )
    )

    assert access.repositories == (
        f"acme url {encoded('https://hex.acme.example')}",
        f"acme auth_key {encoded('acme key')}",
        f"hexpm:corp auth_key {encoded('corp key')}",
        f"acme public_key {encoded(public)}",
    )
    assert access.deploy_key == "a private key\n"


def test_a_file_that_is_no_public_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "acme.pem").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    with pytest.raises(Misuse, match=r"build\.hex\.public_keys\.acme: expected a public key") as raised:
        fetch_access(inventory(tmp_path, hex={"public_keys": {"acme": "acme.pem"}}))
    assert "OPENSSH" not in raised.value.message
    with pytest.raises(Misuse, match=r"none\.pem cannot be read: No such file"):
        fetch_access(inventory(tmp_path, hex={"public_keys": {"acme": "none.pem"}}))
