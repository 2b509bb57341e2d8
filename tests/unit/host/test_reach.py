"""Reach: whether clients can reach an instance (`warpbeam/host/reach.sh`, in a real bash)."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from warpbeam.host.script import PACKAGE

FOUR, SIX = "203.0.113.5", "2001:db8:0:0::5"


def judged(places: list[str], ports: str = "4001", four: str = FOUR, six: str = SIX) -> tuple[str, str, str]:
    """Return unreached, narrow and asked_at for a host that has the addresses `four` and `six`."""
    script = f"""set -euo pipefail
        {(PACKAGE / "host/reach.sh").read_text()}
        outward4={four} outward6={six} places=({shlex.join(places)})
        judge_reach {ports}
        printf '%s\\n' "$unreached" "$narrow" "$asked_at" """
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    unreached, narrow, asked_at = done.stdout.splitlines()
    return unreached, narrow, asked_at


@pytest.mark.parametrize(
    ("places", "asked_at"),
    [
        (["4001 *"], FOUR),
        (["4001 0.0.0.0", "4001 [::]"], FOUR),
        (["4001 127.0.0.1", f"4001 {FOUR}", "4001 [::]"], FOUR),
        (["4001 *%host0"], FOUR),
        ([], FOUR),
        (["4002 127.0.0.1"], FOUR),
    ],
)
def test_what_listens_where_clients_come_is_well(places: list[str], asked_at: str) -> None:
    assert judged(places) == ("", "", asked_at)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["127.0.0.2"], ["[::1]"], ["127.0.0.1", "[::1]"], ["[::ffff:127.0.0.1]"], ["0.0.0.0%lo"]],
)
def test_what_listens_on_loopback_only_is_reached_by_nobody(addresses: list[str]) -> None:
    unreached, _, _ = judged([f"4001 {address}" for address in addresses])

    assert unreached.startswith(f"it listens at port 4001 on {' and '.join(addresses)}, which no client outside")
    assert "ip: {0, 0, 0, 0, 0, 0, 0, 0}" in unreached


def test_a_further_port_counts_as_the_first() -> None:
    unreached, _, _ = judged(["4001 *", "4443 127.0.0.1"], "4001 4443")

    assert unreached.startswith("it listens at port 4443 on 127.0.0.1, ")


@pytest.mark.parametrize(
    ("places", "four", "six", "what"),
    [(["4001 [::]"], FOUR, "", "IPv6 only"), (["4001 0.0.0.0"], "", SIX, "IPv4 only")],
)
def test_a_family_that_the_host_has_no_address_of_reaches_nobody(
    places: list[str], four: str, six: str, what: str
) -> None:
    assert judged(places, four=four, six=six)[0].startswith(f"it listens at port 4001 on {what}, which no client")


@pytest.mark.parametrize(
    ("place", "narrow", "asked_at"),
    [
        ("4001 0.0.0.0", f"by IPv4 only: clients that come by IPv6 ({SIX}) are refused", FOUR),
        ("4001 [::]", f"by IPv6 only: clients that come by IPv4 ({FOUR}) are refused", SIX),
        ("4001 10.0.0.9", f"on 10.0.0.9 only: clients that come by another address ({FOUR}) are refused", "10.0.0.9"),
        ("4001 [fd00::1]", f"by IPv6 only: clients that come by IPv4 ({FOUR}) are refused", "fd00::1"),
    ],
)
def test_what_some_clients_do_not_reach_is_reported_and_asked_where_it_listens(
    place: str, narrow: str, asked_at: str
) -> None:
    unreached, told, where = judged([place])

    assert (unreached, where) == ("", asked_at)
    assert narrow in told


def test_a_host_that_nobody_knows_by_an_address_is_not_judged() -> None:
    assert judged(["4001 127.0.0.1"], four="", six="") == ("", "", "127.0.0.1")
