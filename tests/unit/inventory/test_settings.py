"""`fab ENV config`: every resulting value once, with the place where it was written, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from warpbeam.inventory.read import read
from warpbeam.inventory.settings import as_text, row, settings

PROJECT = Path(__file__).parents[3]
BASE = """\
org: acme
app: hello
http: {port: 8080}
build:
  container: docker.io/library/elixir:1.17
  secrets: {TOKEN: {command: "echo hunter2"}}
secrets:
  A: {env: WHERE_A_IS}
  B: {file: b.txt}
  C: {command: "curl -H 'Authorization: hunter2'"}
hosts:
  web1: {address: 10.0.0.1}
"""
LAST = """\
extends: _base.yml
http:
  maintenance: 5003
env: {POOL: "10"}
users: {admin: }
hooks:
  deploy:
    before:
      - {run: test -e x}
      - run: test -e y
        timeout: 5
hosts:
  web2:
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The rows of an environment of two files, by key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_base.yml").write_text(BASE)
    (tmp_path / "x.yml").write_text(LAST)
    rows = [row(setting, origin=True) for setting in settings(*read(Path("x.yml")))]
    by_key = {each["key"]: each for each in rows}
    assert len(by_key) == len(rows)
    return by_key


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("org", "acme", "_base.yml:1"),
        ("http.port", 8080, "_base.yml:3"),
        ("http.maintenance", 5003, "x.yml:3"),
        ("http.slots", [4001, 4002], "default"),
        ("env.POOL", "10", "x.yml:4"),
        ("hosts.web1.address", "10.0.0.1", "_base.yml:12"),
        ("hosts.web2.roles", ["app"], "default"),
        ("hooks.deploy.before.1.timeout", 5.0, "x.yml:11"),
        ("hooks.deploy.before.0.timeout", 300, "default"),
        ("hooks.deploy.before.0.run", "test -e x", "x.yml:9"),
        ("build.container.image", "docker.io/library/elixir:1.17", "_base.yml:5"),
        ("build.container.engine", "auto", "default"),
        ("users.admin", None, "x.yml:5"),
        ("secrets.A", "(variable WHERE_A_IS)", "_base.yml:8"),
        ("secrets.C", "(a command)", "_base.yml:10"),
        ("build.secrets.TOKEN", "(a command)", "_base.yml:6"),
    ],
)
def test_each_value_is_there_with_the_place_of_the_last_word(
    found: dict[str, dict[str, Any]], key: str, value: Any, origin: str
) -> None:
    assert found[key] == {"key": key, "value": value, "origin": origin}


def test_paths_are_shown_as_they_result(found: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    assert found["secrets.B"]["value"] == f"(file {tmp_path / 'b.txt'})"
    assert found["extends"] == {"key": "extends", "value": [str(tmp_path / "_base.yml")], "origin": "x.yml:1"}


def test_no_secret_and_no_command_that_fetches_one_is_shown(found: dict[str, dict[str, Any]]) -> None:
    assert "hunter2" not in str(found)


def test_parts_that_are_empty_by_default_have_no_row(found: dict[str, dict[str, Any]]) -> None:
    assert not {"packages", "files", "source", "vm.ports", "name", "hosts.web1.name"} & found.keys()


@pytest.mark.parametrize(
    ("value", "text"), [(None, "(none)"), (True, "true"), ([], "[]"), (["a", "b"], "[a, b]"), (0.2, "0.2"), (5, "5")]
)
def test_a_value_for_people_is_one_line_of_yaml(value: Any, text: str) -> None:
    assert as_text(value) == text


def fab(directory: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "fabric", *words]
    environment = {**os.environ, "WARPBEAM_INVENTORY": str(directory)}
    return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_command_shows_a_table_or_json_and_leaves_bases_out_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "_base.yml").write_text(BASE)
    (tmp_path / "production.yml").write_text(LAST)
    table = fab(tmp_path, "production", "config")
    assert "http.maintenance" in table and "origin" not in table and "hunter2" not in table
    shown = json.loads(fab(tmp_path, "production", "config", "--json", "--origin"))
    assert {"key": "http.port", "value": 8080, "origin": f"{tmp_path}/_base.yml:3"} in shown
    environments = fab(tmp_path, "--list").partition("\n\n")[0]
    assert "production" in environments and "base" not in environments


def test_of_a_group_only_what_is_written_is_shown(tmp_path: Path) -> None:
    groups = "groups:\n  worker: {http: none, health: {rpc: A.b()}, env: }\n"
    (tmp_path / "x.yml").write_text(f"{BASE}{groups}")

    found = {".".join(setting.key): setting.value for setting in settings(*read(tmp_path / "x.yml"))}

    assert {key: value for key, value in found.items() if key.startswith("groups.")} == {
        "groups.worker.env": None,
        "groups.worker.http.port": None,
        "groups.worker.health.rpc": "A.b()",
    }
