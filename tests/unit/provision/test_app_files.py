"""The inventory's own files on hosts: what setup makes of them, and who can read them there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.footprint import Footprint, footprint

APP = Host(name="web1", roles=("app",))
INVENTORY = Inventory(org="acme", app="hello", hosts={"web1": APP})
CONF = "/etc/acme/hello/hello.conf"


def want(source: Path | None, **changes: dict[str, str]) -> Footprint:
    """The footprint of a host with that file, or with none."""
    inventory = msgspec.structs.replace(INVENTORY, files={CONF: source} if source else {}, **changes)
    return footprint(inventory, APP, {}, "C" * 43, None)


def text_of(made: Footprint, path: str) -> str:
    return next(file.content for file in made.files if file.path == path)


def test_the_apps_group_alone_can_read_a_file_of_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "hello.conf").write_text("a = ü\n")
    made = want(tmp_path / "hello.conf")

    file = next(file for file in made.files if file.path == CONF)
    assert (file.content, file.mode, file.owner, file.group, file.needs) == (
        "a = ü\n",
        "640",
        "root",
        "hello",
        "restart",
    )
    directory = next(each for each in made.directories if each.path == "/etc/acme/hello")
    assert (directory.mode, directory.owner, directory.group) == ("710", "root", "hello")
    others = [each for each in made.files if each.path.startswith("/etc/acme/") and each.path != CONF]
    assert {(each.mode, each.group) for each in others} == {("600", "root")}
    plain = next(each for each in want(None).directories if each.path == "/etc/acme/hello")
    assert (plain.mode, plain.group) == ("700", "root")


def test_conform_finds_its_file_unless_the_inventory_names_another(tmp_path: Path) -> None:
    (tmp_path / "hello.conf").write_text("a = 1\n")

    assert f"CONFORM_CONF_PATH={CONF}" in text_of(want(tmp_path / "hello.conf"), "/etc/acme/hello/app.env").replace(
        '"', ""
    )
    assert "CONFORM" not in text_of(want(None), "/etc/acme/hello/app.env")
    own = want(tmp_path / "hello.conf", env={"CONFORM_CONF_PATH": "/x"})
    assert f"CONFORM_CONF_PATH={CONF}" not in text_of(own, "/etc/acme/hello/app.env").replace('"', "")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), (b"\xff", "expected UTF-8"), (b"x" * 65537, "at most 65536 bytes")],
)
def test_a_file_that_cannot_be_put_on_hosts_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "hello.conf").write_bytes(content)

    with pytest.raises(Misuse, match=f"files: {CONF}: .*{said}"):
        want(tmp_path / "hello.conf")
