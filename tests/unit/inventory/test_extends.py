"""Shared settings: the files that an environment extends, the order in which they count, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from warpbeam.error import Misuse
from warpbeam.inventory.extends import MOST
from warpbeam.inventory.files import environments
from warpbeam.inventory.read import read_inventory

BASE = """\
org: acme
app: hello
http: {port: 8080, maintenance: 5003}
packages: [git, curl]
hosts:
  web1: {address: 10.0.0.1}
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files into an empty working directory, whose messages show them by their names; return the last one."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            file = tmp_path / f"{name.replace('__', '/')}.yml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return Path(file.relative_to(tmp_path))

    return write


def refusal(file: Path) -> Misuse:
    with pytest.raises(Misuse) as caught:
        read_inventory(file)
    assert caught.value.code == 2
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_the_environment_has_the_last_word_key_by_key_and_lists_replace(write: Write) -> None:
    file = write(_base=BASE, x="extends: _base.yml\nhttp: {port: 81}\npackages: [jq]\nhosts: {web2: {}}\n")
    inventory = read_inventory(file)
    assert (inventory.http.port, inventory.http.maintenance) == (81, 5003)
    assert inventory.packages == ("jq",)
    assert [*inventory.hosts] == ["web1", "web2"]
    assert inventory.name == "x"


def test_of_several_files_a_later_one_has_the_last_word(write: Write) -> None:
    ports = {name: f"http: {{port: {port}}}\n" for name, port in (("_one", 81), ("_two", 82))}
    assert read_inventory(write(_base=BASE, **ports, x="extends: [_base.yml, _one.yml, _two.yml]\n")).http.port == 82
    assert read_inventory(write(x="extends: [_base.yml, _two.yml, _one.yml]\n")).http.port == 81


def test_a_file_that_two_others_extend_does_not_undo_what_the_first_one_says(write: Write) -> None:
    write(_base=BASE, _one="extends: _base.yml\nhttp: {port: 81}\n", _two="extends: _base.yml\npackages: []\n")
    inventory = read_inventory(write(x="extends: [_one.yml, _two.yml]\n"))
    assert (inventory.http.port, inventory.packages) == (81, ())


def test_an_environment_may_extend_another_environment(write: Write) -> None:
    file = write(production=BASE, staging="extends: production.yml\napp: hello_staging\n")
    assert read_inventory(file).app == "hello_staging"


def test_relative_paths_begin_at_the_directory_of_the_file_that_has_them(write: Write, tmp_path: Path) -> None:
    common = BASE + "ssh: {config: ssh_config}\ndeploy_keys: [a.pub]\nextends: deeper/_base.yml\n"
    file = write(common__base=common, x="extends: common/base.yml\nsource: app\n")
    (tmp_path / "common" / "deeper").mkdir()
    (tmp_path / "common" / "deeper" / "_base.yml").write_text("files: {/etc/acme/hello/a.conf: a.conf}\n")
    inventory = read_inventory(file)
    assert inventory.ssh.config == tmp_path / "common" / "ssh_config"
    assert inventory.deploy_keys == (str(tmp_path / "common" / "a.pub"),)
    assert inventory.files == {"/etc/acme/hello/a.conf": tmp_path / "common" / "deeper" / "a.conf"}
    assert inventory.source == tmp_path / "app"
    assert inventory.file == tmp_path / "x.yml"


def test_each_file_may_ask_for_a_version_of_warpbeam(write: Write) -> None:
    file = write(_base=BASE + 'warpbeam: ">=99"\nnew_key: 1\n', x='extends: _base.yml\nwarpbeam: ">=0.1"\n')
    assert refusal(file).message.startswith("_base.yml:7: warpbeam: expected Warpbeam >=99, found ")


def test_a_conflict_between_two_files_names_both_places(write: Write) -> None:
    file = write(_base=BASE, x="extends: _base.yml\nhosts:\n  web3: {address: 10.0.0.1}\n")
    assert refusal(file).message == (
        "x.yml:3: hosts.web3.address: expected a machine once, found 10.0.0.1 port 22 as web1 and as web3; "
        "see also _base.yml:6: hosts.web1.address"
    )


@pytest.mark.parametrize(
    ("extends", "message", "hint"),
    [
        ("_bse.yml", 'extends: _bse.yml: expected an inventory, found no such file; did you mean "_base.yml"?',
         "a relative path begins at "),
        ("[_base.yml, ./a]", "extends: a: expected a file, found a directory or device", "a relative path"),
        ("", "extends: expected a file or a list of files, such as _base.yml, found nothing", "inventory/example.yml"),
        ("{a: b}", "extends: expected a file or a list of files, such as _base.yml, found keys and values", ""),
        ("[3]", "extends: expected a path without quotes", "inventory/example.yml"),
        ("https://example.com/a.yml?b=$c", "extends: expected a path without quotes", "inventory/example.yml"),
        ("x.yml", "extends: expected files that do not extend each other, found a circle: x.yml, x.yml", "move what"),
        ("/dev/zero", "extends: /dev/zero: expected a file, found a directory or device", "a relative path"),
        ("_large.yml", "extends: _large.yml: expected an inventory, found more than 1 MiB", "a relative path"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_extended_is_one_message(
    write: Write, tmp_path: Path, extends: str, message: str, hint: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "_large.yml").write_bytes(b"#" * (1 << 20) + b"\n")
    found = refusal(write(_base=BASE, x=f"org: acme\nextends: {extends}\n"))
    assert found.message.startswith(f"x.yml:2: {message}")
    assert found.hint.startswith(hint)


def test_a_pipe_is_refused_without_waiting_for_it(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "_pipe")
    assert "found a directory or device" in refusal(write(x="extends: _pipe\n")).message


def test_a_circle_over_several_files_is_named_from_its_beginning(write: Write) -> None:
    write(_one="extends: _two.yml\n", _two="\nextends: [_one.yml]\n")
    found = refusal(write(x="extends: _one.yml\n"))
    assert found.message == (
        "_two.yml:2: extends: expected files that do not extend each other, found a circle: _one.yml, _two.yml, "
        "_one.yml"
    )


def test_a_circle_through_a_link_is_found(write: Write, tmp_path: Path) -> None:
    (tmp_path / "_link.yml").symlink_to("x.yml")
    assert "found a circle: x.yml, x.yml" in refusal(write(x="extends: _link.yml\n")).message


@pytest.mark.parametrize("deep", [True, False])
def test_more_files_than_anybody_keeps_apart_are_refused(write: Write, deep: bool) -> None:
    chain = {f"_{n}": f"extends: _{n + 1}.yml\n" if deep else "org: acme\n" for n in range(MOST + 5)}
    names = ", ".join(f"{name}.yml" for name in chain)
    found = refusal(write(**chain, x="extends: _0.yml\n" if deep else f"extends: [{names}]\n"))
    assert f"expected at most {MOST} files for an environment, found more" in found.message


def test_a_file_of_another_form_is_refused_at_its_own_line(write: Write) -> None:
    found = refusal(write(_base="\n- one\n", x="extends: _base.yml\norg: acme\n"))
    assert found.message == "_base.yml:2: expected keys and values, which x.yml extends, found something else"
    assert refusal(write(_base="org: [\n")).message.startswith("_base.yml:2: ")


def test_an_unknown_key_of_a_base_names_the_base(write: Write) -> None:
    found = refusal(write(_base=BASE + "orgs: acme\n", x="extends: _base.yml\n"))
    assert found.message.startswith("_base.yml:7: orgs: an unknown key")


def test_a_file_that_begins_with_an_underscore_or_lies_deeper_is_no_environment(write: Write, tmp_path: Path) -> None:
    write(_base=BASE, common__base=BASE, production="extends: [_base.yml, common/base.yml]\n")
    (tmp_path / "_other.yaml").touch()
    assert [*environments(tmp_path)] == ["production"]
