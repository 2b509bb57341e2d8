"""The choice of hosts: which texts choose which hosts, in `-H`, `--skip` and `--host` alike."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.error import Misuse
from warpbeam.fleet.selection import HostSelection, chosen_hosts, one_host
from warpbeam.inventory.choice import MOST_LISTED, choose
from warpbeam.inventory.narrow import narrow
from warpbeam.inventory.schema import Host, Inventory

HOSTS = {"web1": "web", "web2": "web", "web10": None, "job1": "worker", "build1": None, "web.example.com": None}
KNOWN = "the hosts are web1, web2, web10, job1, build1, web.example.com; the groups are @web, @worker"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web1", ["web1"]),
        ("job1,web1", ["web1", "job1"]),
        (" job1 , web1 ,", ["web1", "job1"]),
        ("web1,web1", ["web1"]),
        ("@web", ["web1", "web2"]),
        ("@w*", ["web1", "web2", "job1"]),
        ("web?", ["web1", "web2"]),
        ("web*", ["web1", "web2", "web10", "web.example.com"]),
        ("*.example.com", ["web.example.com"]),
        ("*", [*HOSTS]),
        ("!web1", ["web2", "web10", "job1", "build1", "web.example.com"]),
        ("!@web,!web*", ["job1", "build1"]),
        ("@web,!web2", ["web1"]),
        ("!web2,@web", ["web1"]),
        ("web*,@worker,!web1?", ["web1", "web2", "job1", "web.example.com"]),
        ("web1,!job1", ["web1"]),
    ],
)
def test_names_patterns_and_groups_add_and_exclamation_marks_take_away(text: str, names: list[str]) -> None:
    assert [*choose(text, HOSTS, "-H")] == names


def test_a_group_without_hosts_is_no_unknown_group() -> None:
    with pytest.raises(Misuse, match=r"^-H: no host is in the group idle$"):
        choose("@idle", HOSTS, "-H", declared=("web", "idle"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "-H: expected the name of a host, found nothing"),
        (" , ,", "-H: expected the name of a host, found nothing"),
        ("wbe2", '-H: there is no host "wbe2"; did you mean "web2"?'),
        ("web1,nothing", '-H: there is no host "nothing"'),
        ("web1,!nothing", '-H: there is no host "nothing"'),
        ("web1,!", '-H: there is no host ""'),
        ("db*", '-H: there is no host like "db*"'),
        ("web1,!db*", '-H: there is no host like "db*"'),
        ("web[12]", '-H: there is no host "web[12]"; did you mean "web2"?'),
        ("WEB1", '-H: there is no host "WEB1"; did you mean "web1"?'),
        ("@worke", '-H: there is no group "worke"; did you mean "worker"?'),
        ("@", '-H: there is no group ""'),
        ("@web1", '-H: there is no group "web1"; did you mean "web"?'),
        ("worker", '-H: there is no host "worker"'),
        ("web1,!web1", '-H: expected at least one host, found none left of "web1,!web1"'),
        ("!*", '-H: expected at least one host, found none left of "!*"'),
        ("web1 web2", '-H: there is no host "web1 web2"'),
    ],
)
def test_a_part_without_a_host_or_a_choice_without_one_lists_what_there_is(text: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        choose(text, HOSTS, "-H")
    assert caught.value.message.startswith(message)
    assert caught.value.hint == KNOWN
    assert caught.value.code == 2


def test_a_fleet_of_a_thousand_is_not_listed_whole() -> None:
    with pytest.raises(Misuse) as caught:
        choose("x", dict.fromkeys((f"web{number}" for number in range(1000)), "web"), "-H")
    assert f"web{MOST_LISTED - 1}, … (1000 in all); the groups are @web" in caught.value.hint
    assert len(caught.value.hint) < 300


@given(st.text(alphabet="web12!@*?,[] \n", max_size=12), st.dictionaries(st.sampled_from(["w", "e1", "b2"]), st.none()))
def test_any_text_chooses_some_hosts_or_is_refused(text: str, hosts: dict[str, None]) -> None:
    try:
        chosen = choose(text, hosts, "-H")
    except Misuse as misuse:
        assert "\n" not in misuse.message
    else:
        assert chosen and set(chosen) <= hosts.keys()
        assert len(set(chosen)) == len(chosen)


HOST_VALUES = {
    "web1": Host(name="web1", group="web"),
    "web2": Host(name="web2", group="web"),
    "job1": Host(name="job1", group="worker"),
    "build1": Host(name="build1", roles=("build",)),
}
FLEET = Inventory(org="acme", app="hello", hosts=HOST_VALUES)


def test_the_three_options_take_the_same_and_say_which_of_them_was_wrong() -> None:
    assert [*narrow(FLEET, "@web,!web2,build*", Path("x.yml")).hosts] == ["web1", "build1"]
    assert [host.name for host in HostSelection(skip="@web,!web2").hosts(FLEET)] == ["web2", "job1"]
    assert [host.name for host in chosen_hosts(FLEET, "!@web")] == ["job1"]
    with pytest.raises(Misuse, match=r'^x.yml: -H: there is no group "db"$'):
        narrow(FLEET, "@db", Path("x.yml"))
    with pytest.raises(Misuse, match=r'^--skip: there is no app host "build1"$'):
        HostSelection(skip="build1").hosts(FLEET)
    with pytest.raises(Misuse, match=r'^--host: there is no app host like "x\*"$'):
        chosen_hosts(FLEET, "x*")


def test_an_empty_option_is_no_choice_of_all_hosts() -> None:
    """A variable of a script that is empty must not widen a command to every host."""
    with pytest.raises(Misuse, match=r"^x.yml: -H: expected the name of a host, found nothing$"):
        narrow(FLEET, "", Path("x.yml"))
    with pytest.raises(Misuse, match=r"^--skip: expected the name of an app host, found nothing$"):
        HostSelection(skip="").hosts(FLEET)
    with pytest.raises(Misuse, match=r"^--host: expected the name of an app host, found nothing$"):
        one_host(FLEET, "")


def test_without_an_option_there_are_all_hosts_or_the_first() -> None:
    assert narrow(FLEET, None, Path("x.yml")).hosts == FLEET.hosts
    assert len(HostSelection().hosts(FLEET)) == 3
    assert one_host(FLEET, None).name == "web1"


def test_skipping_every_host_and_several_hosts_for_a_console_are_refused() -> None:
    with pytest.raises(Misuse, match="every host is skipped"):
        HostSelection(skip="*").hosts(FLEET)
    with pytest.raises(Misuse, match=r"^--host: expected one host, found web1, web2$"):
        one_host(FLEET, "@web")
    narrowed = msgspec.structs.replace(FLEET, hosts={"job1": HOST_VALUES["job1"]})
    assert one_host(narrowed, "job*").name == "job1"
