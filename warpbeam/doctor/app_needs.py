"""Findings on what the app needs of its host: releases, limits, firewall, ports. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from warpbeam.doctor.examine import Examination
from warpbeam.doctor.finding import Finding, finding
from warpbeam.inventory.schema import SLOTS, Inventory
from warpbeam.provision.unit import OPEN_FILES

# Share that must be free of each limit.
ROOM = 0.1
# An address that only the host itself can reach, as `ss` prints it.
LOOPBACK = re.compile(r"127\.|\[::1\]|\[::ffff:127\.|.*%lo$")


def app_needs(host: str, inventory: Inventory, seen: Examination) -> tuple[Finding, ...]:
    """Return the findings on what the app needs of its host."""
    checks = (releases, limits, firewall, ports)
    return tuple(check(host, inventory, seen) for check in checks)


def releases(host: str, inventory: Inventory, seen: Examination) -> Finding:
    """Return the finding on who may write releases."""
    deploy, directory = inventory.users.deploy, inventory.root / "releases"
    return finding(
        host,
        "releases",
        [f"{seen.writable}; nobody but {deploy} should write there"] if seen.writable else [],
        f"nobody but {deploy} may write them",
        f"`sudo -u {deploy} chmod -R go-w {directory}` on the host; the next deploy finds what was altered meanwhile",
    )


def limits(host: str, inventory: Inventory, seen: Examination) -> Finding:
    """Return the finding on open files and tracked connections."""
    found, short, mend = seen.limits, [], []
    if found.may_open and found.opened > (1 - ROOM) * found.may_open:
        short.append(f"the app has {found.opened} files open of {found.may_open}")
        mend.append("`service: {LimitNOFILE: ...}` in the inventory allows it more")
    # A container may be allowed less than that.
    asked = inventory.service.get("LimitNOFILE", str(OPEN_FILES)).partition(":")[0]
    if found.may_open and asked.isdigit() and found.may_open < int(asked):
        short.append(f"the app may open {found.may_open} files; expected {asked} or more")
        mend.append("restart it, if LimitNOFILE was raised since; else the host allows no more (is it a container?)")
    if found.may_track and found.tracked > (1 - ROOM) * found.may_track:
        short.append(f"the kernel tracks {found.tracked} connections of {found.may_track}; more are dropped")
        mend.append("`firewall: {tracked: ...}` in the inventory lets it track more")
    well = f"{found.opened} files of {found.may_open}, {found.tracked} connections of {found.may_track}"
    return finding(host, "limits", short, well, "; ".join(mend))


def firewall(host: str, inventory: Inventory, seen: Examination) -> Finding:
    """Return the finding on the app's nftables tables."""
    rules = []
    for table in seen.tables:
        if not table.has:
            rules.append(f"the table {table.table} is not loaded")
        elif table.has != table.wants:
            rules.append(f"the table {table.table} is not what {table.file} says")
    filters = bool(inventory.firewall.filter or inventory.firewall.limit)
    if filters != any(table.table == f"inet warpbeam_{inventory.app}-filter" for table in seen.tables):
        rules.append("there is no filter yet" if filters else "there is a filter that the inventory does not ask for")
    if seen.live and not seen.tables:
        rules.append(f"port {next(iter(inventory.leads('a')), 'none')} leads nowhere: there is no file to load")
    return finding(
        host,
        "firewall",
        rules,
        "1 table as loaded" if len(seen.tables) == 1 else f"{len(seen.tables)} tables as loaded",
        f"`fab {inventory.name} firewall.apply` loads them",
    )


def ports(host: str, inventory: Inventory, seen: Examination) -> Finding:
    """Return the finding on who listens at the app's ports, and where."""
    others = []
    for listener in seen.listeners:
        expected = _expected(inventory, listener.port, seen.uid)
        # Compare the unit and the user: a user's own systemd may have a unit of any name.
        if expected is not None and (listener.unit, listener.uid) not in expected:
            who = listener.program or "somebody"
            where = listener.unit or "no unit"
            if listener.unit in (unit for unit, _ in expected):
                where += f" of {listener.user or listener.uid}"
            others.append(f"{who} ({where}) has port {listener.port}")
    cure = "stop it, or choose other ports under `http` and `ports` in the inventory"
    if not others:
        others = list(_unreached(inventory, seen))
        cure = (
            "have the app listen on all addresses: in Phoenix `http: [ip: {0, 0, 0, 0, 0, 0, 0, 0}, ...]` of the "
            "endpoint, elsewhere `ip: {0, 0, 0, 0}`"
        )
    return finding(
        host,
        "ports",
        others,
        "nobody else has the app's"
        + ("" if seen.binds else "; that it listens at no others cannot be enforced (systemd has no BPF here)"),
        cure,
    )


def _unreached(inventory: Inventory, seen: Examination) -> Iterator[str]:
    """Yield a sentence for each port at which the live instance listens on loopback only, as `host/reach.sh` judges."""
    if not seen.live:
        return
    for port in inventory.slot_ports()[SLOTS.index(seen.live) :: 2]:
        at = [listener.address for listener in seen.listeners if listener.port == port]
        if at and all(LOOPBACK.match(address) for address in at):
            yield f"the app listens at port {port} on {' and '.join(at)}, which no client outside this host reaches"


def _expected(inventory: Inventory, port: int, uid: int) -> tuple[tuple[str, int], ...] | None:
    """Return the units, each with its user's number, that may listen at a port of the app; None for another port."""
    for slot in SLOTS:
        if port in (*inventory.slot_ports()[SLOTS.index(slot) :: 2], inventory.dist_port(slot)):
            return ((inventory.unit(slot), uid),)
    if port in inventory.page_ports():
        # systemd itself listens for the socket unit.
        return (("init.scope", 0),)
    return () if port in inventory.leads("a") else None
