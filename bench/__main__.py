"""`script/bench`: boots hosts, deploys in turn with every peer, checks what they serve, keeps the measurements."""

from __future__ import annotations

import os
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from bench import result
from bench.measurement import Broken, adopt_orphans, measure
from bench.network import open_site
from bench.option import Options, read_options
from bench.peer import Peer
from bench.peers import ansible, capistrano, floor, pyinfra, warpbeam
from bench.plot import plot
from bench.release import LETTERS, PROJECT, App, Letter, Release, make_releases, make_source, told_by
from bench.result import RESULTS, Row, summaries
from bench.site import Site, boot, on_each
from bench.table import table
from warpbeam.lab import lifetime

PEERS: Mapping[str, Peer] = {
    module.PEER.name: module.PEER for module in (warpbeam, capistrano, ansible, pyinfra, floor)
}
SCRATCH = PROJECT / ".cache" / "bench" / "run"
# MiB of disk of each host, for five peers with a few releases each; a release has 40 MB unpacked.
OPT_SIZE = 4096
Releases = Mapping[tuple[App, Letter], Release]


def say(text: str) -> None:
    """Print the time and `text` for the user."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def check(site: Site, peer: Peer, release: Release) -> None:
    """Check that every host serves the release now. Raises: Broken."""

    def ask(host: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://{site.addresses[host]}:{peer.port}/", timeout=10) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError) as error:
            return str(error).encode()

    for host, body in on_each(site, ask).items():
        if not told_by(release, body):
            raise Broken(f"{peer.name} said it had deployed {release.ref}, but {host} answers {body[:200]!r}")


def deploy(site: Site, peer: Peer, release: Release, live: Release | None, case: str, repetition: int) -> Row:
    """Deploy once, measure it and check the hosts. Raises: Broken."""
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    command = peer.command(site, release, live, name)
    load = os.getloadavg()[0]
    reading = measure(command, site.links, site.gauges, site.scratch / f"{peer.name}.log")
    check(site, peer, release)
    return Row(
        hosts=len(site.hosts),
        case=case,
        app=release.app,
        network=site.network,
        peer=peer.name,
        version=version_of(peer.name),
        repetition=repetition,
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        load=load,
        **msgspec.structs.asdict(reading),
    )


@cache
def version_of(name: str) -> str:
    """Return a peer's version; ask for it only once."""
    return PEERS[name].version()


def in_turn(peers: list[Peer], repetition: int) -> list[Peer]:
    """Return the peers, with another one first each time, so that other load on the machine meets all of them."""
    first = repetition % len(peers)
    return peers[first:] + peers[:first]


def first_deploys(site: Site, peers: list[Peer], releases: Releases, app: App, times: int) -> Iterator[Row]:
    """Yield deploys to hosts that have nothing yet."""
    release = releases[app, LETTERS[0]]
    for repetition in range(times):
        for peer in in_turn(peers, repetition):
            peer.empty(site)
            yield deploy(site, peer, release, None, "first", repetition)


def changes(site: Site, peers: list[Peer], releases: Releases, app: App, times: int) -> Iterator[Row]:
    """Yield deploys of one release over the other, and back; each peer begins with one that counts as a first one."""
    live, other = (releases[app, letter] for letter in LETTERS)
    for peer in peers:
        peer.empty(site)
        yield deploy(site, peer, live, None, "first", times)
        peer.tidy(site)
    for repetition in range(times):
        for peer in in_turn(peers, repetition):
            yield deploy(site, peer, other, live, "change", repetition)
            peer.tidy(site)
        live, other = other, live


def machine() -> dict[str, str]:
    """Return what the results say of the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    memory = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return {
        "processor": f"{os.cpu_count()} cores, {model}",
        "memory": f"{int(memory) / 1e6:.0f} GB",
        "kernel": platform.release(),
        "hosts": "systemd-nspawn machines on the same processor, Debian 12",
    }


def run(options: Options) -> None:
    """Measure what the options select; keep the rows of each complete round."""
    adopt_orphans()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    peers = [PEERS[name] for name in options.peers]
    releases: Releases = {}
    for count in options.hosts:
        say(f"booting {count} hosts")
        lab = boot(options.lab, count, OPT_SIZE)
        for network in options.networks:
            with open_site(lab, network, count, SCRATCH) as site:
                for peer in peers:
                    say(f"{site.name}: making ready for {peer.name}")
                    peer.ready(site)
                if not releases:
                    say("building the releases")
                    make_source(warpbeam.source(SCRATCH))
                    releases = make_releases(
                        warpbeam.source(SCRATCH),
                        warpbeam.store(),
                        SCRATCH,
                        lambda ref: warpbeam.run(site, "build-on-host", "--ref", ref),
                    )
                measure_site(site, peers, releases, options)


def measure_site(site: Site, peers: list[Peer], releases: Releases, options: Options) -> None:
    """Measure every selected case and app on one site."""
    ways = {"first": first_deploys, "change": changes}
    for app in options.apps:
        rows: list[Row] = []
        for case in options.cases:
            say(f"{site.name}: {case}, {app}")
            rounds = ways[case](site, peers, releases, app, options.repetitions)
            with closing(rounds) as measured:  # type: ignore[type-var]
                for row in measured:
                    say(f"  {row.peer:10} {row.seconds:6.2f} s  {row.peak / 1e6:4.0f} MB  load {row.load:.1f}")
                    rows.append(row)
                    if len(rows) % len(peers) == 0:
                        # A round is complete: keep it, even if the next one fails.
                        result.write(result.merged(result.read(), machine(), rows))
                        show()
        for peer in peers:
            # The next app has other releases, and fifty virtual machines take gigabytes.
            peer.empty(site)


def show() -> None:
    """Write the table and the plot of the kept results."""
    sheet = result.read()
    found = summaries(sheet.rows)
    loads = sorted(row.load for row in sheet.rows)
    told = {**sheet.machine, "load average before a deploy": f"{loads[0]:.1f} to {loads[-1]:.1f}"} if loads else {}
    (RESULTS / "README.md").write_text(table(told, found))
    (RESULTS / "plot.svg").write_text(plot(found))


def main() -> None:
    """Run the program."""
    options = read_options(sys.argv[1:])
    if options.only_show:
        show()
        return
    try:
        run(options)
    except Broken as broken:
        sys.exit(f"error: {broken}")
    finally:
        if not options.keep:
            lifetime.down(options.lab, lambda event: None)
    print((RESULTS / "README.md").read_text())


if __name__ == "__main__":
    main()
