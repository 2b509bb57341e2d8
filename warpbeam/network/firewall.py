"""The app's own nftables tables: the redirect of public ports to the live slot, and the filter of each host."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec

from warpbeam.error import Failed, Lost, Problem, Refused, restated, untouched
from warpbeam.event import Emit, Settled, Step, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import FEW, Count, LiveSlot, LongText, PortText, Text
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.network.filter import filter_rules
from warpbeam.provision.footprint import redirect_files
from warpbeam.provision.lockout import taken_ports

# Seconds that a host may take, after the end of a trial, to bring back the previous filter.
REVERT_GRACE = 60.0


class Table(msgspec.Struct, frozen=True):
    """The kernel's tables: the redirect's text, where each public port leads, and whether a reboot loads it again.

    `maintenance`: the public port should lead to the page, whatever is live. `filter` is `off`, `on` (as the inventory
    says), `other`, `trial`, or `gone` (a file has one, the kernel has none). `others` are programs and tables that
    filter too. `connections` are open to the app now; the kernel tracks `tracked` connections, and at most `most`.
    """

    text: LongText
    leads: Annotated[dict[PortText, PortText], FEW]
    live: LiveSlot
    kept: bool
    maintenance: bool
    filter: Literal["off", "on", "other", "trial", "gone"]
    others: Annotated[tuple[Text, ...], FEW]
    connections: Count
    tracked: Count
    most: Count


class Firewall(AppPhase[Table], frozen=True, kw_only=True):
    """Load, confirm, remove or read tables, as root; the head of `warpbeam/network/firewall.sh` explains its fields."""

    script: ClassVar[str] = "network/firewall"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/login", "provision/owner")
    answer: ClassVar[type] = Table
    helper: str
    verb: str
    files: tuple[str, ...]
    filter: str
    ports: tuple[int, ...]
    seconds: int
    token: str
    taken: tuple[int, ...]
    environment: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return self.verb in ("status", "look")


def tables(fleet: Fleet, emit: Emit) -> dict[str, Table | Problem]:
    """Return the tables that every app host's kernel has now, or the problem; log in as admin, change nothing."""
    return fleet.everywhere(fleet.inventory.some_app_hosts(), lambda host: _ask(fleet, host, "status", emit))


def firewall(fleet: Fleet, verb: Literal["apply", "clear", "look"], emit: Emit) -> dict[str, Table]:
    """Do `verb` on every app host, as admin, and return the tables that the kernel has afterwards.

    `apply` loads the redirect of the live slot and the filter, now and at every boot; a filter is tried on the first
    host alone before the others. `clear` removes both, and `apply` brings them back; `look` only reports what `clear`
    would cut.

    Raises:
        Refused: no host did it, and nothing was changed on any.
        Failed: a host could not do it, or its new filter reverted; names the hosts that did it, and those not touched.
    """
    inventory = fleet.inventory
    hosts = inventory.some_app_hosts()

    def one(host: Host) -> Table:
        return _apply(fleet, host, emit) if verb == "apply" else _ask(fleet, host, verb, emit)

    first = hosts[:1] if verb == "apply" and filter_rules(inventory, hosts[0]) else []
    results = fleet.everywhere(first, one) if first else {}
    spared = (
        [host.name for host in hosts[len(first) :]] if any(isinstance(it, Problem) for it in results.values()) else []
    )
    if not spared and len(first) < len(hosts):
        results |= fleet.everywhere(hosts[len(first) :], one)

    tables: dict[str, Table] = {}
    for name, result in results.items():
        if isinstance(result, Problem):
            continue
        tables[name] = result
        own = inventory.of(inventory.hosts[name])
        if verb == "look":
            emit(Settled(name, f"firewall.clear would cut {_connections(result.connections)}"))
        else:
            emit(Settled(name, table_sentence(result, own)))
        if verb == "apply" and result.others:
            too = "filters too" if len(result.others) == 1 else "filter too"
            emit(
                Warn(
                    name,
                    f"{', '.join(result.others)} {too}: {_others_hint(own, result)}",
                )
            )
    if len(tables) < len(results):
        raise together(results, spared, changes=verb != "look")
    return tables


def together(results: Mapping[str, Table | Problem], spared: Sequence[str], *, changes: bool) -> Problem:
    """Return one error for all hosts: a `Refused` if nothing was changed on any, else one that names the changed hosts.

    A filter that was tried and has reverted is no refusal, although the host is as before: while it was in force, it
    may have cut other clients.
    """
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    done = [name for name in results if name not in problems] if changes else []
    if not done and all(isinstance(it, Refused) for it in problems.values()):
        return untouched(problems)
    name, worst = next(
        ((name, it) for name, it in problems.items() if not isinstance(it, Refused)), next(iter(problems.items()))
    )
    others = {other: it.message for other, it in problems.items() if other != name}
    ending = f" (and {len(others)} more: {', '.join(others)})" if others else ""
    for what, names in (("done", done), ("not touched", spared)):
        if names:
            ending += f"; {what}: {', '.join(names)}"
    kind = Failed if isinstance(worst, Refused) else type(worst)
    return restated(worst, kind, ending, details=(*others.values(), *worst.details))


def _phase(environment: Inventory, host: Host, verb: str, token: str = "") -> Firewall:
    inventory = environment.of(host)
    return Firewall(
        **app_parameters(inventory),
        helper=helper(inventory),
        verb=verb,
        files=tuple(part for file in redirect_files(inventory) for part in (file.path, file.content)),
        filter=filter_rules(inventory, host),
        ports=(*inventory.slot_ports(), *inventory.page_ports()),
        seconds=inventory.firewall.confirm,
        token=token,
        taken=taken_ports(inventory),
        environment=inventory.name,
    )


def _ask(fleet: Fleet, host: Host, verb: str, emit: Emit) -> Table:
    return fleet.run(host, _phase(fleet.inventory, host, verb), emit, identity="admin")


def _apply(fleet: Fleet, host: Host, emit: Emit) -> Table:
    """Load the tables; a new filter stays only when a new ssh connection comes through it.

    Raises: Failed, where none came; the previous filter is in force again. Lost, where the host does not confirm that.
    """
    token = secrets.token_hex(8)
    phase = _phase(fleet.inventory, host, "apply", token)
    try:
        table = fleet.run(host, phase, emit, identity="admin")
    except Lost as lost:
        if not phase.filter:
            raise
        raise _reverted(fleet, host, lost, emit) from lost
    if table.filter != "trial":
        return table
    try:
        return fleet.run_anew(host, msgspec.structs.replace(phase, verb="confirm"), emit, identity="admin")
    except (Refused, Lost) as cut:
        raise _reverted(fleet, host, cut, emit) from cut


def _reverted(fleet: Fleet, host: Host, cut: Problem, emit: Emit) -> Problem:
    """Wait until the host can be logged in to again, and return the error for its new filter, which cut us off."""
    seconds = fleet.inventory.firewall.confirm
    emit(Warn(host.name, f"no new ssh connection came through the new filter; it reverts by itself within {seconds} s"))
    emit(Step(host.name, "revert"))
    deadline = time.monotonic() + seconds + REVERT_GRACE
    while time.monotonic() < deadline:
        try:
            table = fleet.run_anew(host, _phase(fleet.inventory, host, "status"), silent, identity="admin")
        except Problem:
            table = None
        if table is not None and table.filter != "trial":
            return Failed(
                "no new ssh connection came through the new filter, so what was before is in force again",
                "name the network that you come from, as the host sees it, in firewall.ssh, and sshd's port in hosts",
                (cut.message,),
                host=host.name,
            )
        time.sleep(1)
    return Lost(
        "no new ssh connection came through the new filter, nor since it should have reverted",
        "its console, or a reboot, which loads what was before",
        (cut.message,),
        host=host.name,
    )


def _connections(count: int) -> str:
    return "1 open connection" if count == 1 else f"{count} open connections"


def _others_hint(inventory: Inventory, table: Table) -> str:
    ports = ", ".join(map(str, (*inventory.slot_ports(), *inventory.page_ports())))
    how = "they must accept"
    if "firewalld" in table.others:
        how = "`firewall-cmd --permanent --add-port=PORT/tcp`, then `firewall-cmd --reload`, for"
    elif "ufw" in table.others:
        how = "`ufw allow PORT/tcp` for"
    return (
        f"a connection needs both; {how} the ports that public ones lead to ({ports}), which stay closed to the outside"
    )


def table_sentence(table: Table, inventory: Inventory) -> str:
    """Return in words what the tables do."""
    public = inventory.http.port or next(iter(inventory.leads("a")), None)
    port = table.leads.get(str(public), "")
    if public is None:
        said = "no public port leads to it (`http: none`)"
    elif not port:
        said = f"port {public} leads nowhere"
        if table.maintenance:
            said += ", though maintenance is on"
        elif table.kept and not table.live:
            said += ": nothing is live yet"
    elif table.maintenance:
        said = f"port {public} leads to the maintenance page (port {port}), until maintenance.off"
    else:
        said = f"port {public} leads to slot {table.live} (port {port})"
        for more, to in table.leads.items():
            if more != str(public):
                said += f", port {more} to its port {to}"
    if table.filter == "on":
        said += "; the filter is in force"
    return said
