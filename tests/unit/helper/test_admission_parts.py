"""The parts of the helper that decide about admitted copies: verdicts of ssh-keygen, lists, and what is not decided."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.admission import Signer
from warpbeam.host.template import shared

OLD, NEW = "20260101T000000Z", "20260102T000000Z"
HEAD = """set -euo pipefail; export LC_ALL=C; app=x ENVIRONMENT=stage hindered=no DEPLOY_USER=deploy APP_USER=app
cannot() { printf 'cannot: %s\\n' "$1"; exit 2; }
"""


def run(parts: tuple[str, ...], script: str, **variables: object) -> str:
    """Run a script with parts of the helper; what it prints."""
    settings = "".join(f"{name}={value}\n" for name, value in variables.items())
    text = HEAD + settings + "".join(map(shared, parts)) + script
    return subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    ).stdout


def verdict(place: Path, script: str, digest: str = "d" * 64) -> tuple[str, str]:
    """Return the status of `is_accepted` about the signature in `place`, and its reason; a script runs before."""
    said = run(
        ("helper/signature",),
        f"""without_rights() {{ "$@"; }}
        {script}
        status=0; is_accepted {place} {digest} || status=$?; printf '%s|%s' "$status" "$reason" """,
        root="/opt/acme/hello",
        SIGNERS=place / "allowed",
        REVOKED=place / "revoked",
    )
    status, _, reason = said.partition("|")
    return status, reason


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a signature of alice's, and those who may sign."""
    place = tmp_path_factory.mktemp("signed")
    alice, bob = Signer(place, "alice"), Signer(place, "bob")
    (place / "allowed").write_text(alice.allowed())
    (place / "others").write_text(bob.allowed())
    (place / "key").write_text(alice.public + "\n")
    (place / "signature").write_text(alice.sign("d" * 64))
    return place


def test_ssh_keygen_says_yes_or_no_and_anything_else_is_no_verdict(signed: Path) -> None:
    assert verdict(signed, "") == ("0", "")
    assert verdict(signed, f"SIGNERS={signed}/others") == ("1", "its signature is by no key of allowed_signers")
    assert verdict(signed, f"REVOKED={signed}/key") == ("1", "the key of its signer 'alice@acme' is revoked")
    assert verdict(signed, "", "e" * 64)[0] == "1"

    for hindrance in (
        "without_rights() { return 126; }",
        "without_rights() { return 137; }",
        'without_rights() { [[ $3 != verify ]] || return 137; "$@"; }',
        "without_rights() { return 255; }",
        f'REVOKED={signed}/key; without_rights() {{ [[ $* != *-r* ]] || return 1; "$@"; }}',
        "SIGNERS=/nowhere",
    ):
        assert verdict(signed, hindrance)[0] == "2", hindrance


DISCARD = """is_release() { true; }; as_deploy() { return 1; }; read_links() { live='' release_a='' release_b=''; }
linked_release() { REPLY=''; }; remember_instance() { pid=0; }; find_entered() { :; }
"""


@pytest.mark.parametrize(("status", "left"), [("1", []), ("2", [OLD])], ids=["no", "no verdict"])
def test_a_copy_is_removed_where_its_signature_does_not_count_and_on_no_less(
    tmp_path: Path, status: str, left: list[str]
) -> None:
    (tmp_path / OLD / ".warpbeam").mkdir(parents=True)
    script = DISCARD + f"counts() {{ reason=why; return {status}; }}; discard"

    run(("helper/admission", "helper/discard"), script, ADMITTED=tmp_path, MOST_ADMITTED=4)

    assert [entry.name for entry in tmp_path.iterdir()] == left


def test_a_sum_that_cannot_be_read_is_no_digest(tmp_path: Path) -> None:
    (tmp_path / OLD / ".warpbeam").mkdir(parents=True)
    script = f'is_accepted() {{ true; }}; status=0; counts {OLD} 2>/dev/null || status=$?; echo "$status $reason"'

    assert run(("helper/admission",), script, ADMITTED=tmp_path) == "2 its sums could not be read\n"


def test_a_link_that_could_not_be_made_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / NEW / ".warpbeam").mkdir(parents=True)
    script = DISCARD + f'counts() {{ true; }}; ln() {{ return 1; }}; approve a {NEW} || echo "$reason"'

    assert "is the disk full?" in run(("helper/admission",), script, ADMITTED=tmp_path)


def test_lists_that_differ_in_many_lines_are_told_by_the_first(tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("".join(f"f {number:06}\n" for number in range(50_000)))
    (tmp_path / "found").write_text("f x\n")

    said = run(("helper/copy",), 'compare_lists wanted found; echo "$REPLY"', lists=tmp_path, MOST_SIGNATURE=1)

    assert said == "f 000000\n"


@pytest.mark.parametrize(
    ("stub", "why"),
    [
        ("as_deploy() { return 137; }", "could not be read as deploy"),
        ("as_deploy() { return 1; }", "is not whole"),
        ("as_deploy() { echo x; }; head() { return 1; }", "is on a full disk"),
    ],
    ids=["ended", "not there", "full disk"],
)
def test_a_release_that_cannot_be_received_is_refused_with_the_cause(tmp_path: Path, stub: str, why: str) -> None:
    script = f"{stub}\nreceive {NEW}"

    assert why in run(
        ("helper/copy",), script, lists=tmp_path, releases="/nowhere", MOST_SIGNATURE=16384, ADMITTED="/nowhere"
    )
