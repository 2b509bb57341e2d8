"""Findings of `doctor` on the connections between live nodes: what keeps two of them apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warpbeam.doctor.examine import Examination
from warpbeam.doctor.finding import Finding
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.network.cluster import mates, seen_hosts
from warpbeam.runtime.kinds import kind_of

PAGE = "docs/clusters.md"


def sight(inventory: Inventory, seen: Mapping[str, Examination]) -> Iterator[Finding]:
    """Yield a finding for each host with a live node that may see others; none without `vm.peers`."""
    answers = {host: (each.live, each.links) for host, each in seen.items() if each.live and each.runs}
    for name in answers:
        host = inventory.hosts[name]
        if not mates(inventory, host):
            continue
        found = seen_hosts(inventory, host, answers)
        unseen = [other for other, sees in found.items() if not sees]
        if not unseen:
            others = ", ".join(found)
            yield Finding(name, "nodes", True, f"its node sees that of {others}" if others else "no other node runs")
            continue
        reasons = [_reason(inventory, host, inventory.all_hosts[other], seen) for other in unseen]
        yield Finding(
            name,
            "nodes",
            False,
            "; ".join(
                f"its node does not see that of {other}: {why}" for other, (why, _) in zip(unseen, reasons, strict=True)
            ),
            "; ".join(dict.fromkeys(mend for _, mend in reasons)),
        )


def _reason(inventory: Inventory, host: Host, other: Host, seen: Mapping[str, Examination]) -> tuple[str, str]:
    """Return why two live nodes are not connected, and what to do."""
    here, there = seen[host.name], seen.get(other.name)
    if there is not None and there.live != here.live and not here.finds and not there.finds:
        return (
            "they are in different slots, and both were built by a version that finds nodes in the same slot only",
            f"deploy: `fab {inventory.name} deploy` builds them anew",
        )
    ports = {call.port: call.says for call in here.calls if call.address == other.address}
    port = inventory.dist_port("b" if there is not None and there.live == "b" else "a")
    says = ports.get(port, "")
    if says == "silence":
        return (
            f"nothing answers at {other.address}:{port}, from {host.name}",
            "have the firewalls between them let TCP through to the ports of `http.distribution`",
        )
    if says == "refused":
        return (
            f"no node listens at {other.address}:{port}",
            f"{kind_of(inventory.build.flavor).node_hint}; `fab {inventory.name} setup --restart`",
        )
    return (
        "neither calls the other, though it could, or they do not take each other's cookie",
        f"does the app connect its nodes? {PAGE} has recipes; `fab {inventory.name} restart` after a new cookie",
    )
