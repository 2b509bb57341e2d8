"""The dependencies of an artifact: what is read from mix.lock, and the SBOM that is made of it."""

from __future__ import annotations

import json

import msgspec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.unit.deploy.test_plan import artifact
from warpbeam.build.artifact import Dependency
from warpbeam.build.lock_file import MOST, read_lock
from warpbeam.build.sbom import sbom

INNER, OUTER, COMMIT = "1" * 64, "2" * 64, "3" * 40
LOCK = f"""%{{
  "acme_auth": {{:hex, :acme_auth, "0.3.0", "{INNER}", [:mix], [], "hexpm:acme", "{OUTER}"}},
  "cowboy": {{:hex, :cowboy, "2.9.0", "{INNER}", [:make, :rebar3], [{{:cowlib, "2.11.0", \
[hex: :cowlib, repo: "hexpm", optional: false]}}, {{:ranch, "1.8.0", [hex: :ranch, repo: "hexpm", \
optional: false]}}], "hexpm", "{OUTER}"}},
  "jason": {{:hex, :jason, "1.1.2", "{INNER}", [:mix], []}},
  "old": {{:hex, :old, "0.1.0"}},
  "private": {{:git, "https://user:token@git.example.com/acme/private.git", "{COMMIT}", [branch: "main"]}},
  "renamed": {{:hex, :real_name, "1.0.0", "{INNER}", [:mix], [], "hexpm", "{OUTER}"}},
  "by_ssh": {{:git, "git@git.example.com:acme/by_ssh.git", "{COMMIT}", []}},
  "unknown": {{:svn, "x", "y"}},
}}
"""


def test_the_dependencies_of_a_lock_file_have_versions_and_checksums() -> None:
    assert read_lock(LOCK) == (
        Dependency("acme_auth", "0.3.0", OUTER, "hexpm:acme"),
        Dependency("by_ssh", COMMIT, "", "git@git.example.com:acme/by_ssh.git"),
        Dependency("cowboy", "2.9.0", OUTER, "hexpm"),
        Dependency("jason", "1.1.2", INNER, "hexpm"),
        Dependency("old", "0.1.0", "", "hexpm"),
        # Neither a password nor a token of a URL is in an artifact.
        Dependency("private", COMMIT, "", "https://git.example.com/acme/private.git"),
        Dependency("real_name", "1.0.0", OUTER, "hexpm"),
    )


def test_a_lock_file_that_is_none_or_has_no_end_is_bounded() -> None:
    assert read_lock("") == read_lock('"x": {:hex, "\0\x1b[2J' * 10_000) == ()
    many = "\n".join(f'  "d{number}": {{:hex, :d{number}, "1.0.0"}},' for number in range(MOST + 10))
    assert len(read_lock(many)) == MOST


def test_the_sbom_fits_the_schema_and_names_every_dependency() -> None:
    manifest = msgspec.structs.replace(artifact().manifest, sha256="a" * 64, dependencies=read_lock(LOCK))

    text = sbom(manifest).decode()

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"libr', '"book')) is not None, "the check finds what is wrong"
    document = json.loads(text)
    found = {each["name"]: each for each in document["components"]}
    assert {dependency.name for dependency in manifest.dependencies} <= set(found)
    assert found["cowboy"]["purl"] == "pkg:hex/cowboy@2.9.0"
    assert found["cowboy"]["hashes"] == [{"alg": "SHA-256", "content": OUTER}]
    assert found["acme_auth"]["purl"] == "pkg:hex/acme/acme_auth@0.3.0"
    assert found["private"]["purl"].startswith(f"pkg:generic/private@{COMMIT}?vcs_url=git")
    assert "token" not in text
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert found["erlang"]["version"] == manifest.toolchain.otp
