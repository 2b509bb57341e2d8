"""Secrets: from references to values, refusals, and comparing hosts without values."""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.build.secrets import fetch_asset_secrets, values_for_host
from warpbeam.error import Misuse, Problem, Refused
from warpbeam.host.script import PACKAGE
from warpbeam.inventory.build import Build
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.secret import Secret
from warpbeam.provision import secrets
from warpbeam.provision.environment_files import secrets_text
from warpbeam.provision.footprint import footprint
from warpbeam.provision.secret_file import SecretsState, digests, rows
from warpbeam.provision.secrets import MAX_BYTES, fetch_secrets
from warpbeam.provision.text_diff import masked

APP = Inventory(org="acme", app="hello", hosts={"web1": Host("web1")})
PLANTED = "planted-4f1b"


def inventory(directory: Path, **references: Secret) -> Inventory:
    """Return an inventory in that directory, with these secrets."""
    return msgspec.structs.replace(APP, file=directory / "stage.yml", secrets=references)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Clear the cache of fetched secrets before and after each test."""
    secrets._fetch.cache_clear()
    yield
    secrets._fetch.cache_clear()


def test_each_kind_of_reference_gives_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b" as\r\nit is\n")
    monkeypatch.setenv("FROM_HERE", "env $HOME `x`")
    references = {
        "A": Secret(env="FROM_HERE"),
        "B": Secret(file=tmp_path / "file"),
        "C": Secret(command="printf 'one\\n\\n'"),
        "D": Secret(command="pwd"),
    }

    values = fetch_secrets(inventory(tmp_path, **references))

    assert values == {"A": "env $HOME `x`", "B": " as\r\nit is\n", "C": "one\n", "D": str(tmp_path)}


def test_a_secret_is_fetched_once_for_all_and_not_at_all_for_a_host_without_an_app(tmp_path: Path) -> None:
    made = inventory(tmp_path, A=Secret(command="echo x >>fetched; echo value"))
    build = {"build1": Host("build1", roles=("build",))}

    assert fetch_secrets(msgspec.structs.replace(made, hosts=build)) == {}
    assert not (tmp_path / "fetched").exists()
    for _ in range(3):
        assert fetch_secrets(made) == {"A": "value"}
    assert (tmp_path / "fetched").read_text() == "x\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"printf '{PLANTED}\\0'", "holds a NUL"),
        (f"printf '{PLANTED}\\377'", "is not UTF-8"),
        (f"printf {PLANTED}; head -c {MAX_BYTES} /dev/zero | tr '\\0' x", "has more than 120000 bytes"),
        (f"printf {PLANTED}; cat /dev/zero", "has more than 120000 bytes"),
        (f"echo {PLANTED}; exit 7", "its command failed with status 7"),
    ],
)
def test_a_value_that_no_environment_can_hold_is_refused_and_not_shown(tmp_path: Path, command: str, said: str) -> None:
    # The command is in a file, because messages may show the reference itself.
    (tmp_path / "give").write_text(command)

    with pytest.raises(Misuse, match=r"stage\.yml: secrets\.KEY: ") as caught:
        fetch_secrets(inventory(tmp_path, KEY=Secret(command="sh ./give")))

    assert said in caught.value.message
    assert caught.value.code == 2
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert PLANTED not in shown + caught.value.hint + "".join(caught.value.details)


def test_a_value_of_the_greatest_size_is_taken_with_its_line_end_cut(tmp_path: Path) -> None:
    made = inventory(tmp_path, A=Secret(command=f"head -c {MAX_BYTES} /dev/zero | tr '\\0' x; echo"))

    assert len(fetch_secrets(made)["A"]) == MAX_BYTES


def test_secrets_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    command = Secret(command=f"head -c {MAX_BYTES} /dev/zero | tr '\\0' x")

    with pytest.raises(Misuse, match="together they are 1080000 bytes"):
        fetch_secrets(inventory(tmp_path, **{f"A{number}": command for number in range(9)}))


@pytest.mark.parametrize("reference", [Secret(env="NOT_SET_ANYWHERE"), Secret(file=Path("missing"))])
def test_a_reference_that_leads_nowhere_is_reported_with_its_place(tmp_path: Path, reference: Secret) -> None:
    with pytest.raises(Misuse, match=r"stage\.yml: secrets\.KEY: "):
        fetch_secrets(inventory(tmp_path, KEY=reference))


def test_a_secret_of_the_build_is_fetched_by_the_same_rules_and_named_by_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a token\n")
    made = msgspec.structs.replace(APP, file=tmp_path / "stage.yml", build=Build(secrets={"A": Secret(env="NOT_SET")}))

    with pytest.raises(Misuse, match=r"stage\.yml: build\.secrets\.A: the environment variable NOT_SET is not set"):
        fetch_asset_secrets(made)

    references = {"B": Secret(command="cat token"), "A": Secret(file=tmp_path / "token")}
    values = fetch_asset_secrets(msgspec.structs.replace(made, build=Build(secrets=references)))
    assert b"".join(values_for_host(values)) == b"a token\0a token\n\0"


def test_push_writes_the_file_that_setup_writes() -> None:
    values = {"A": 'quote " and $', "B": "line\nline"}

    made = {file.path: file.content for file in footprint(APP, APP.hosts["web1"], values, "c", ()).files}

    assert made["/etc/acme/hello/secrets.env"] == secrets_text(APP, values)


@given(
    st.dictionaries(
        st.from_regex("[A-Z]{1,5}", fullmatch=True),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    )
)
def test_every_value_of_a_file_has_a_digest_that_differs_and_does_not_show_the_value(
    values: dict[str, str],
) -> None:
    text = masked(secrets_text(APP, values), (), "key")

    assert digests(text).keys() == values.keys()
    other = {name: value + "x" for name, value in values.items()}
    changed = digests(masked(secrets_text(APP, other), (), "key"))
    assert all(digests(text)[name] != changed[name] for name in values)


@pytest.mark.parametrize("piece", ["\n", "\\", '"', "x\n'\"$(x)\\ ", "x"])
def test_hosts_mask_the_largest_values_as_we_do_and_in_no_time(tmp_path: Path, piece: str) -> None:
    text = secrets_text(APP, {"A": (piece * MAX_BYTES)[:MAX_BYTES], "B": '"', "C": '\n"\n', "D": "\\"})
    (tmp_path / "secrets.env").write_text(text)
    script = (
        f'export LC_ALL=C; source {PACKAGE}/provision/mask.sh; masked {tmp_path}/secrets.env key; printf %s "$REPLY"'
    )

    # On an idle machine a fraction of a second; quadratic code would take minutes.
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == masked(text, (), "key")


def kept(**values: str) -> SecretsState:
    """Return a host's answer with these digests."""
    return SecretsState("".join(f"{name}=(hidden, {digest})\n" for name, digest in values.items()))


def test_hosts_that_agree_have_no_problem_and_those_that_do_not_are_named() -> None:
    found: dict[str, SecretsState | Problem] = {
        "web1": kept(SAME="aa", OTHER="aa", LACKS="aa", OLD="aa"),
        "web2": kept(SAME="aa", OTHER="bb"),
        "web3": Refused("gone", host="web3"),
    }

    told = {row.get("secret", row.get("host")): row for row in rows(("SAME", "OTHER", "LACKS", "NEVER"), found, None)}

    assert told["SAME"] == {"secret": "SAME", "hosts": "web1, web2", "agree": True}
    assert "hosts have different values (web1 | web2)" in told["OTHER"]["problem"]
    assert "web2 lacks it" in told["LACKS"]["problem"]
    assert "web1, web2 lack it" in told["NEVER"]["problem"]
    assert "it is not in the inventory" in told["OLD"]["problem"]
    assert told["web3"]["problem"] == "gone"


def test_hosts_that_agree_on_another_value_than_was_fetched_are_reported() -> None:
    found = {"web1": kept(A="aa", B="aa"), "web2": kept(A="aa", B="aa")}

    told = {row["secret"]: row for row in rows(("A", "B"), found, {"A": "aa", "B": "bb"})}

    assert told["A"] == {"secret": "A", "hosts": "web1, web2", "agree": True, "as here": True}
    assert told["B"]["as here"] is False
    assert "another value than the inventory" in told["B"]["problem"]


def test_a_host_that_runs_with_earlier_secrets_is_reported() -> None:
    stale = msgspec.structs.replace(kept(A="aa"), stale=True)

    assert [row.get("host") for row in rows(("A",), {"web1": stale}, None) if "problem" in row] == ["web1"]
