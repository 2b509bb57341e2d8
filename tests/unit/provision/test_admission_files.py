"""Admission in the footprint of a host: signers, root's tree, and what the deploy user may ask for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from warpbeam.host.template import shared
from warpbeam.inventory.schema import Deploy, Health, Host, Inventory
from warpbeam.provision.footprint import Footprint, footprint

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDOk0pM1lpp2TrtLyyd9oPVVGQzLH1z5uJvvsmQxUAZL"
WEB1 = Host(name="web1")
INVENTORY = Inventory(org="acme", app="hello", name="stage", hosts={"web1": WEB1}, health=Health(rpc="Hello.well?()\n"))
OLD, NEW = "20260101T000000Z", "20260102T000000Z"


@pytest.fixture
def admitting(tmp_path: Path) -> Inventory:
    """An inventory with somebody who may sign."""
    (tmp_path / "allowed").write_text(f"bob@acme {KEY}\n")
    deploy = Deploy(migrate="Hello.migrate()", allowed_signers=tmp_path / "allowed")
    return msgspec.structs.replace(INVENTORY, deploy=deploy)


def wanted(inventory: Inventory) -> Footprint:
    """Return the footprint of the app host."""
    return footprint(inventory, WEB1, {}, "cookie", ())


def texts(inventory: Inventory) -> dict[str, str]:
    """Return the text of each file of the footprint."""
    return {file.path: file.content for file in wanted(inventory).files}


def test_root_keeps_the_signers_the_expressions_and_a_tree_that_only_the_app_reads(admitting: Inventory) -> None:
    files, there = texts(admitting), wanted(admitting)

    assert files["/etc/acme/hello/allowed_signers"] == f"bob@acme {KEY}\n"
    assert files["/etc/acme/hello/expression-migrate"] == "Hello.migrate()"
    assert files["/etc/acme/hello/expression-well"] == "Hello.well?()"
    tree = next(item for item in there.directories if item.path == "/opt/acme/hello.admitted")
    assert (tree.mode, tree.owner, tree.group) == ("750", "root", "hello")
    assert "/etc/acme/hello/revoked_signers" in there.absent


def test_the_deploy_user_may_evaluate_nothing_and_slots_start_from_roots_tree(admitting: Inventory) -> None:
    files = texts(admitting)
    rules = files["/etc/sudoers.d/warpbeam-hello"]

    assert [verb for verb in ("console", "rpc", "eval") if f"warpbeam-helper {verb}," in rules] == []
    assert "warpbeam-helper admit," in rules
    assert "\nWorkingDirectory=/opt/acme/hello.admitted\n" in files["/lib/systemd/system/hello@.service"]
    launcher = files["/usr/lib/warpbeam/hello/launch"]
    assert "root=/opt/acme/hello.admitted/$slot" in launcher
    assert "/opt/acme/hello/releases" not in launcher
    assert "/opt/acme/hello/slots" not in launcher


def test_without_signers_there_is_nothing_of_admission_but_its_removal() -> None:
    files, there = texts(INVENTORY), wanted(INVENTORY)

    assert [path for path in files if "signers" in path or "expression" in path] == []
    assert [item.path for item in there.directories if "admitted" in item.path] == []
    assert [path for path in there.absent if path.startswith("/etc/acme/hello/")] == [
        f"/etc/acme/hello/{name}"
        for name in ("allowed_signers", "revoked_signers", "expression-migrate", "expression-well")
    ]
    assert "\nWorkingDirectory=/opt/acme/hello/slots/%i\n" in files["/lib/systemd/system/hello@.service"]
    assert "admitted" not in files["/usr/lib/warpbeam/hello/launch"]


def test_the_programs_of_an_admitting_host_pass_shellcheck(admitting: Inventory) -> None:
    for path, text in texts(admitting).items():
        if text.startswith("#!"):
            done = subprocess.run(
                ["shellcheck", "--shell=bash", "--exclude=SC2016,SC2034,SC2317", "-"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == "", path


def test_the_signed_statement_has_the_apps_name_and_the_digest() -> None:
    statement = 'printf -v statement \'warpbeam-release 1\\n%s\\n%s\' "${root#/opt/}" "$2"'

    assert statement in shared("helper/signature")


# Paths of a signed manifest that no release may have, each with the helper's words about it.
WRONG = {
    "../x": "the path ../x",
    "/etc/x": "the path /etc/x",
    "lib/../../x": "the path lib/../../x",
    "lib//x": "the path lib//x",
    ".Warpbeam/x": "the path .Warpbeam/x",
    "a\x01": "the path a?",
}
SUM = "0" * 64


def read_manifest(tmp_path: Path, manifest: str, links: str = "") -> tuple[str, Path]:
    """Run the helper's `read_manifest`; return what it refuses, and the directory with its lists."""
    (tmp_path / "manifest").write_text(manifest)
    (tmp_path / "links").write_text(links)
    script = f"{shared('helper/copy')}\ncannot() {{ printf '%s' \"$1\"; exit 2; }}\nread_manifest\n"
    head = f"set -euo pipefail; export LC_ALL=C; ENVIRONMENT=x lists={tmp_path}; MOST_SIGNATURE=1\n"
    done = subprocess.run(["bash", "-c", head + script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout, tmp_path


@pytest.mark.parametrize("path", WRONG)
def test_a_signed_path_that_no_release_may_have_is_refused(tmp_path: Path, path: str) -> None:
    assert WRONG[path] in read_manifest(tmp_path, f"644 {SUM}  bin/a\n640 {SUM}  {path}\n")[0]


@pytest.mark.parametrize(
    ("manifest", "links", "why"),
    [
        (f"4755 {SUM}  a\n", "", "the line 1"),
        (f"644 {SUM[1:]}  a\n", "", "the line 1"),
        (f"644 {SUM}  a\n644 {SUM}  a\n", "", "twice the path a"),
        (f"644 {SUM}  a\n", "a\nb\n", "twice the path a"),
        (f"644 {SUM}  a\n", "l\n/etc/passwd\n", "the link l to /etc/passwd"),
        (f"644 {SUM}  a\n", "x/l\n../../etc\n", "the link x/l to ../../etc"),
        (f"644 {SUM}  a\n", "x/l\n../a/../../x\n", "the link x/l to ../a/../../x"),
        (f"644 {SUM}  a\n", "x/l\n", "a link without a target"),
    ],
)
def test_signed_lists_that_lead_out_of_a_release_are_refused(
    tmp_path: Path, manifest: str, links: str, why: str
) -> None:
    assert why in read_manifest(tmp_path, manifest, links)[0]


def test_signed_lists_become_what_the_copy_is_compared_with(tmp_path: Path) -> None:
    said, lists = read_manifest(tmp_path, f"755 {SUM}  bin/a\n640 {SUM}  lib/x y/b\n", "lib/l\n../bin/a\n")

    assert said == ""
    assert (lists / "files").read_text() == "./bin/a\n./lib/x y/b\n./lib/l\n"
    assert (lists / "runnable").read_text() == "./bin/a\n"
    assert (lists / "entries").read_text() == "f bin/a\nf lib/x y/b\nl lib/l\x01../bin/a\n"
    assert (lists / "parents").read_text() == "bin\nlib/x y\nlib\n"
    assert (lists / "sums").read_text() == f"{SUM} *./bin/a\n{SUM} *./lib/x y/b\n"
