"""The findings of doctor, from facts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from warpbeam.cli.findings import lines
from warpbeam.doctor import diagnosis
from warpbeam.doctor.app_needs import app_needs
from warpbeam.doctor.doctor import rows
from warpbeam.doctor.examine import Disk, Examination, Limits, Listener, Login, Table
from warpbeam.doctor.finding import Finding
from warpbeam.error import Problem, Refused
from warpbeam.host.facts import About, HelperAnswer, Instance, Release
from warpbeam.inventory.schema import Host, Inventory, Users
from warpbeam.inventory.secret import Secret
from warpbeam.operate.status import AppStatus
from warpbeam.provision.difference import Difference
from warpbeam.provision.footprint import footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.other_apps import OtherApp
from warpbeam.version import VERSION

INVENTORY = msgspec.structs.replace(
    Inventory(
        org="acme",
        app="hello",
        hosts={"web1": Host("web1")},
        users=Users(admin="admin"),
        secrets={"TOKEN": Secret(env="TOKEN")},
    ),
    name="stage",
)
WELL = Examination(
    disks=(Disk("/", 10**10, 5 * 10**9, 1000, 500), Disk("/opt", 10**10, 10**9 * 2, 0, 0)),
    writable="",
    limits=Limits(20, 65536, 10, 1000),
    listeners=(
        Listener(22, "0.0.0.0", "sshd", "ssh.service"),
        Listener(4001, "*", "beam.smp", "hello@a.service"),
        Listener(9001, "127.0.0.1", "beam.smp", "hello@a.service"),
        Listener(4003, "*", "systemd", "init.scope"),
    ),
    tables=(Table("inet warpbeam_hello", "/etc/acme/hello/redirect-a.nft", "x", "x"),),
    restarts=(),
    logins=(Login("admin", "key"), Login("deploy", "key")),
    proc="rw,nosuid",
    me="admin",
    secrets="TOKEN=(hidden, 0a)\n",
    cookie="RELEASE_COOKIE=(hidden, 0b)\n",
    reload=(),
    live="a",
    clock="1000.5",
)


HELPER = HelperAnswer(version="10", activating=False, maintenance=False, slots={"a": Instance(pid=7)})
RELEASE = Release("20261123T120000Z", "healthy", About(version="1.0", commit="0" * 40))
STATE = AppStatus(HELPER, "a", {"a": RELEASE.name}, "healthy", (RELEASE,), None)


def look(received: float = 1000.0, **changes: Any) -> dict[str, Finding]:
    """Return every finding, by check, for a host that is well except for `changes`."""
    seen = msgspec.structs.replace(WELL, **changes)
    found = [
        *diagnosis.machine("web1", seen, received - 30, received),
        diagnosis.live("web1", INVENTORY, STATE, seen),
        *app_needs("web1", INVENTORY, seen),
        diagnosis.logins(INVENTORY.hosts["web1"], INVENTORY, seen),
        *diagnosis.agreement(INVENTORY, {"web1": seen}),
    ]
    return {finding.check: finding for finding in found}


def test_a_host_that_is_well_has_one_good_finding_for_each_check() -> None:
    found = look()

    machine, instance = ["time", "disk", "upgrades"], ["live", "releases", "limits", "firewall", "ports"]
    assert list(found) == [*machine, *instance, "logins", "cookie", "secrets"]
    assert all(finding.good and not finding.mend for finding in found.values())


@pytest.mark.parametrize(
    ("check", "said", "changes"),
    [
        ("time", "4 s ahead of", {"clock": "1004"}),
        ("time", "4 s behind", {"clock": "966"}),
        ("disk", "/ has 900.0 MB of 10.0 GB free", {"disks": (Disk("/", 10**10, 9 * 10**8, 0, 0),)}),
        ("disk", "/ has 199.0 MB of 300.0 MB free", {"disks": (Disk("/", 3 * 10**8, 199 * 10**6, 0, 0),)}),
        ("disk", "/ has 99 of 1000 inodes free", {"disks": (Disk("/", 10**10, 10**10, 1000, 99),)}),
        ("upgrades", "needrestart", {"restarts": ("needrestart may",)}),
        ("releases", "/x: it is 666 a:b; nobody but deploy should", {"writable": "/x: it is 666 a:b"}),
        ("limits", "60000 files open of 65536", {"limits": Limits(60000, 65536, 0, 0)}),
        ("limits", "may open 1024 files", {"limits": Limits(1, 1024, 0, 0)}),
        ("limits", "950 connections of 1000", {"limits": Limits(1, 65536, 950, 1000)}),
        ("firewall", "is not loaded", {"tables": (Table("inet t", "f", "x", ""),)}),
        ("firewall", "is not what f says", {"tables": (Table("inet t", "f", "x", "y"),)}),
        ("firewall", "port 80 leads nowhere", {"tables": ()}),
        ("ports", "nginx (nginx.service) has port 80", {"listeners": (Listener(80, "*", "nginx", "nginx.service"),)}),
        (
            "ports",
            "beam.smp (other.service) has port 4002",
            {"listeners": (Listener(4002, "*", "beam.smp", "other.service"),)},
        ),
        (
            "ports",
            "beam.smp (hello@a.service) has port 4002",
            {"listeners": (Listener(4002, "*", "beam.smp", "hello@a.service"),)},
        ),
        (
            "ports",
            "perl (hello@a.service of ann, uid 1003) has port 4001",
            {"listeners": (Listener(4001, "*", "perl", "hello@a.service", 1003, "ann, uid 1003"),)},
        ),
        (
            "ports",
            "listens at port 4001 on 127.0.0.1 and [::1], which no client outside this host reaches",
            {
                "listeners": (
                    Listener(4001, "127.0.0.1", "beam.smp", "hello@a.service"),
                    Listener(4001, "[::1]", "beam.smp", "hello@a.service"),
                )
            },
        ),
        ("ports", "somebody (no unit) has port 9002", {"listeners": (Listener(9002, "*", "", ""),)}),
        ("logins", "ann (by key and password)", {"logins": (Login("ann", "key and password"),)}),
        ("cookie", "there is none", {"cookie": None}),
        ("secrets", "missing: TOKEN", {"secrets": None}),
        ("secrets", "not in the inventory: OLD", {"secrets": "TOKEN=(hidden, 0a)\nOLD=(hidden, 0c)\n"}),
    ],
)
def test_what_is_wrong_is_one_finding_that_says_it_and_what_mends_it(
    check: str, said: str, changes: dict[str, Any]
) -> None:
    found = look(**changes)

    assert [name for name, finding in found.items() if not finding.good] == [check]
    assert said in found[check].found
    assert found[check].mend


@pytest.mark.parametrize(
    ("state", "seen", "good", "said"),
    [
        (STATE, {}, True, "1.0 (00000000) runs, healthy"),
        (replace(STATE, helper=replace(HELPER, maintenance=True)), {}, True, "healthy; maintenance is on"),
        (replace(STATE, helper=replace(HELPER, slots={"a": Instance()})), {}, False, "does not run"),
        (replace(STATE, health="it answers 500"), {}, False, "runs, but is not healthy: it answers 500"),
        # The deploy user cannot log in, or the helper does not answer: the examination knows a little.
        (None, {"runs": True}, True, "it runs; its health is not known"),
        (Refused("no helper"), {"runs": False}, False, "does not run"),
        (replace(STATE, live="", releases=()), {"live": ""}, True, "nothing has been live here yet"),
        (replace(STATE, live=""), {"live": ""}, False, "nothing is live, although releases have been"),
    ],
)
def test_what_is_live_runs_and_is_healthy_or_the_finding_says_why_not(
    state: AppStatus | Problem | None, seen: dict[str, Any], good: bool, said: str
) -> None:
    found = diagnosis.live("web1", INVENTORY, state, replace(WELL, **seen))
    assert (found.good, bool(found.mend)) == (good, not good)
    assert said in found.found


def test_a_deploy_user_of_another_app_is_named_and_not_wrong() -> None:
    logins = (*WELL.logins, Login("deploy_shop", "key"))
    host, seen = INVENTORY.hosts["web1"], replace(WELL, logins=logins)
    assert not diagnosis.logins(host, INVENTORY, seen).good
    found = diagnosis.logins(host, INVENTORY, seen, (OtherApp("shop", "live", "deploy_shop"),))
    assert (found.good, found.found) == (True, "none but ours; deploy_shop, who deploys shop")
    # A stranger is wrong all the same, and the other app's user is not one of those.
    seen = replace(WELL, logins=(*logins, Login("ann", "key")))
    found = diagnosis.logins(host, INVENTORY, seen, (OtherApp("shop", "live", "deploy_shop"),))
    assert not found.good
    assert "deploy_shop" not in found.found


def test_an_app_that_does_not_run_is_not_said_to_run_with_its_settings() -> None:
    def settings(started: int) -> str:
        want = footprint(INVENTORY, INVENTORY.hosts["web1"], {}, "", None)
        state = HostState((), {}, {}, (), "", started=started)
        rows = diagnosis.converged("web1", want, Difference(), state, WELL, "stage")
        return next(each.found for each in rows if each.check == "settings")

    assert settings(0) == "no app runs; its next start is with what is there"


def test_another_login_is_well_where_proc_hides_others_processes() -> None:
    found = look(logins=(Login("ann", "key"),), proc="rw,hidepid=invisible")

    assert found["logins"].good
    assert "ann" in found["logins"].found


def test_hosts_with_other_cookies_or_secrets_are_reported_with_what_they_differ_from() -> None:
    other = msgspec.structs.replace(WELL, cookie="RELEASE_COOKIE=(hidden, ff)\n", secrets="TOKEN=(hidden, ff)\n")

    found = list(diagnosis.agreement(INVENTORY, {"web1": WELL, "web2": other}))

    assert [(finding.host, finding.check, finding.found) for finding in found] == [
        ("web1", "cookie", "it is not that of web2"),
        ("web1", "secrets", "TOKEN is not that of web2"),
        ("web2", "cookie", "it is not that of web1"),
        ("web2", "secrets", "TOKEN is not that of web1"),
    ]


def test_a_finding_is_one_line_for_people_and_one_object_for_programs() -> None:
    findings = [Finding("web1", "ssh", True, "fine"), Finding("longer", "firewall", False, "not fine", "mend it")]

    assert lines(findings, {}) == [
        "web1    ssh       ok     fine",
        "longer  firewall  WRONG  not fine -> mend it",
    ]
    assert lines(findings, {"web1": "web1 (web)", "longer": "longer"})[0] == "web1 (web)  ssh       ok     fine"
    assert rows(findings, INVENTORY)[1] == {
        "host": "longer",
        "check": "firewall",
        "ok": False,
        "found": "not fine",
        "mend": "mend it",
        "warpbeam": VERSION,
    }


def test_on_a_screen_a_finding_keeps_to_its_column_and_a_command_in_one_piece() -> None:
    mend = "`fab shop setup --check --diff` shows it, `fab shop setup` mends it"
    findings = [
        Finding("web1", "files", True, "fine"),
        Finding("build1", "files", False, "/etc/acme/shop/app.env: it was changed by hand; and more", mend),
    ]

    told = lines(findings, {}, 60)

    assert told == [
        "web1    files  ok     fine",
        "build1  files  WRONG  /etc/acme/shop/app.env: it was changed",
        "                      by hand; and more",
        "                      -> `fab shop setup --check --diff`",
        "                         shows it, `fab shop setup` mends it",
    ]
    # A long host name must still leave room for the text.
    far = lines([msgspec.structs.replace(findings[1], host="web-production-eu-central-1")], {}, 60)
    assert max(map(len, far)) <= 60
    assert far[1].startswith("      ") and not far[1].startswith(" " * 7)


def test_a_systemd_that_cannot_keep_the_app_to_its_ports_is_named_and_is_no_fault() -> None:
    assert look()["ports"].found == "nobody else has the app's"

    found = look(binds=False)["ports"]
    assert found.good
    assert "cannot be enforced (systemd has no BPF here)" in found.found
