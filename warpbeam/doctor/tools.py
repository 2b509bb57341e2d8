"""The finding of `doctor` about a build host: which tools it has beside what the source asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from warpbeam.build.artifact import Toolchain
from warpbeam.build.asked import AskedTools, asked_tools
from warpbeam.build.container import find_image, inside
from warpbeam.build.source import find_source
from warpbeam.build.toolchain import BuildTools, ask_toolchain
from warpbeam.doctor.finding import Finding
from warpbeam.error import Problem, Refused, restated
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.run import run
from warpbeam.inventory.schema import Host

CHECK = "tools"


def examine_tools(fleet: Fleet, project: Path, others: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each chosen build host that `others` find reachable; nothing is installed.

    Without a source that can be read here, the finding only says what the host has.
    """
    away = {finding.host for finding in others if finding.check == "ssh" and not finding.good}
    hosts = [host for host in fleet.inventory.hosts.values() if "build" in host.roles and host.name not in away]
    if not hosts:
        return []
    tools, asked, unread = fleet.inventory.build.tools, AskedTools(), ""
    try:
        asked = asked_tools(find_source(fleet.inventory.source or project, leave_dirty=True), tools)
    except Problem as problem:
        unread = problem.reason

    def ask(host: Host) -> tuple[BuildTools, str]:
        return _ask_in_container(fleet, host, asked) or (fleet.run(host, ask_toolchain(tools, asked), silent), "")

    several = len(fleet.inventory.build_hosts) > 1
    answers = fleet.everywhere(hosts, ask)
    return [_finding(host.name, answers[host.name], asked, unread, several=several) for host in hosts]


def _ask_in_container(fleet: Fleet, host: Host, asked: AskedTools) -> tuple[BuildTools, str] | None:
    """Return the tools of the image that builds run in, and its description; None for builds without a container."""
    build, seconds = fleet.inventory.build, fleet.inventory.ssh.answer_timeout
    if build.container is None:
        return None
    shell = fleet.shell(host)
    try:
        found = find_image(shell, build.container, silent, pull="never", seconds=seconds)
    except Refused as refused:
        if build.container.pull == "never" or not refused.reason.endswith("is not on this host"):
            raise
        raise restated(refused, Refused, hint="the next build pulls it") from None
    with inside(shell, fleet.inventory, found) as builder:
        answer = run(builder, ask_toolchain(build.tools, asked), silent, seconds=seconds)
    image = f"{build.container.image} {found.short} by {found.engine} {found.version}"
    return answer, f", in the image {image} ({answer.toolchain.os})"


def _finding(
    host: str, said: tuple[BuildTools, str] | Problem, asked: AskedTools, unread: str, *, several: bool
) -> Finding:
    """Return the finding about one build host; of `several`, it says for which hosts it builds."""
    if isinstance(said, Problem):
        return Finding(host, CHECK, False, said.reason, said.hint)
    answer, image = said
    wanted = {"Elixir": asked.elixir, "Erlang": asked.erlang, "Node.js": asked.nodejs}
    asks = ", ".join(f"{name} {versions}" for name, versions in wanted.items() if versions)
    beside = f"{asked.files} asks for {asks}" if asks else "the source asks for no version"
    if unread:
        beside = f"not compared with the source: {unread}"
    if answer.missing:
        beside += f"; the next build installs {', '.join(answer.missing)} by {answer.tools}"
    chain = answer.toolchain
    kind = f"; builds for hosts with {chain.cpu} and {chain.libc} or newer" if several else ""
    return Finding(host, CHECK, True, f"{_has(answer)} ({answer.tools}){image}; {beside}{kind}")


def _has(answer: BuildTools) -> str:
    """Return what a host has; a version that is missing is no part of it, although its toolchain names it."""
    chain: Toolchain = answer.toolchain
    missing = {name.partition(" ")[0] for name in answer.missing}
    has = [
        f"{name} {version}"
        for name, version, words in (
            ("Elixir", chain.elixir, {"elixir"}),
            ("Erlang/OTP", chain.otp, {"erlang"}),
            ("Node.js", chain.nodejs, {"node", "nodejs"}),
        )
        if version and not words & missing
    ]
    return ", ".join(has) or "none of the tools yet"
