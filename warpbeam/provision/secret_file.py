"""The secrets file of each app host: write it, and compare hosts without values leaving them."""

from __future__ import annotations

import re
import secrets as entropy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from warpbeam.error import Failed, Problem, restated, untouched
from warpbeam.event import Emit, Settled, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import LongText
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.secret import Secrets
from warpbeam.provision.app_template import etc
from warpbeam.provision.environment_files import secrets_text
from warpbeam.provision.secrets import fetch_host_secrets

_ENTRY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=\(hidden, ([0-9a-f]+)\)")


class SecretsState(msgspec.Struct, frozen=True):
    """A host's secrets file with digests in place of values; `text` is None where there is no file.

    `stale`: the running instance was started before the file was written, so it has earlier values. `before`: the
    file that this one replaced.
    """

    text: LongText | None
    before: LongText | None = None
    changed: bool = False
    stale: bool = False

    @property
    def digests(self) -> dict[str, str]:
        """The keyed digest of each value, by name."""
        return digests(self.text or "")


class SecretFile(AppPhase[SecretsState], frozen=True, kw_only=True):
    """Write or read the secrets file, as root; the head of `warpbeam/provision/secrets.sh` explains its fields."""

    script: ClassVar[str] = "provision/secrets"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "provision/mask", "provision/owner")
    answer: ClassVar[type] = SecretsState
    verb: str
    file: str
    ledger: str
    content: str
    key: str
    helper: str
    environment: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return self.verb == "list"


def digests(text: str) -> dict[str, str]:
    """Return the digests in a masked environment file, by name."""
    found = (_ENTRY.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def push(fleet: Fleet, emit: Emit) -> frozenset[str]:
    """Write the inventory's secrets on every chosen app host; return the hosts whose app still runs without them.

    Raises:
        Misuse: a value cannot be fetched; nothing was changed.
        Failed: a host could not write them; it has its old file, and the others have the new one.
    """
    inventory = fleet.inventory
    hosts = inventory.some_app_hosts()
    values = fetch_host_secrets(inventory)
    phases = {name: _phase(fleet, "push", secrets_text(inventory, its)) for name, its in values.items()}
    results = fleet.everywhere(hosts, lambda host: fleet.run(host, phases[host.name], emit, identity="admin"))
    stale = frozenset(name for name, kept in results.items() if isinstance(kept, SecretsState) and kept.stale)
    problems: dict[str, Problem] = {}
    for name, kept in results.items():
        if isinstance(kept, Problem):
            problems[name] = kept
            emit(Settled(name, kept.reason, good=False))
        else:
            gone = sorted(digests(kept.before or "").keys() - kept.digests)
            removed = f", removed: {', '.join(gone)}" if gone else ""
            count = "1 secret" if len(values[name]) == 1 else f"{len(values[name])} secrets"
            emit(
                Settled(name, f"{count} written{removed}" if kept.changed else f"has {count} already, as they are here")
            )
    if problems:
        first = next(iter(problems.values()))
        rest = [name for name in results if name not in problems]
        others = f"; {', '.join(rest)} {'has' if len(rest) == 1 else 'have'} the new ones" if rest else ""
        kind = Failed if rest else type(first)
        raise restated(first, kind, others, hint=first.hint or "the same command again goes on from here")
    return stale


def warn_stale(fleet: Fleet, stale: frozenset[str], emit: Emit) -> None:
    """Warn about hosts whose app runs with earlier secrets, and name the command that gives it the new ones."""
    for name in sorted(stale):
        emit(Warn(name, f"the running app has the secrets of before, until `fab {fleet.inventory.name} restart`"))


def compare(fleet: Fleet, emit: Emit, *, fetch: bool = False) -> list[dict[str, Any]]:
    """Return one row for each secret of the inventory or of a host: where it is, and whether all have the same value.

    Values stay where they are: hosts answer digests under a key that is new each time.

    Parameters:
        fetch: also fetch the values here, and compare the hosts with them.

    Raises: Refused, where no host can be asked.
    """
    inventory = fleet.inventory
    key = entropy.token_hex(32)
    phase = _phase(fleet, "list", "", key)
    hosts = inventory.some_app_hosts()
    found = fleet.everywhere(hosts, lambda host: fleet.run(host, phase, emit, identity="admin"))
    problems = {name: result for name, result in found.items() if isinstance(result, Problem)}
    # A host that did not answer is not a host without secrets.
    if len(problems) == len(found):
        raise untouched(problems)
    names = {host.name: tuple(inventory.of(host).secrets) for host in hosts}
    wanted = None
    if fetch:
        from warpbeam.provision.text_diff import masked

        values = fetch_host_secrets(inventory)
        wanted = {name: digests(masked(secrets_text(inventory, its), (), key)) for name, its in values.items()}
    listed: list[dict[str, Any]] = []
    for alike in _alike(inventory, hosts):
        name = alike[0]
        listed += rows(names[name], {each: found[each] for each in alike}, wanted[name] if wanted else None)
    return listed


def _alike(inventory: Inventory, hosts: Sequence[Host]) -> list[list[str]]:
    """Return the names of `hosts`, those together that get the same secrets."""
    together: list[tuple[Secrets, list[str]]] = []
    for host in hosts:
        secrets = inventory.of(host).secrets
        names = next((names for others, names in together if others == secrets), None)
        if names is None:
            together.append((secrets, names := []))
        names.append(host.name)
    return [names for _, names in together]


def rows(
    names: tuple[str, ...], found: Mapping[str, SecretsState | Problem], wanted: Mapping[str, str] | None
) -> list[dict[str, Any]]:
    """Return the rows of `compare` for hosts that get the same secrets. Pure.

    Parameters:
        names: the inventory's secrets for these hosts.
        found: the answers, by host.
        wanted: the digests of the values fetched here; None where none were fetched.
    """
    kept = {host: result for host, result in found.items() if isinstance(result, SecretsState)}
    there = {host: result.digests for host, result in kept.items()}
    known = dict.fromkeys((*names, *(name for have in there.values() for name in have)))
    listed: list[dict[str, Any]] = []
    for name in known:
        having = {host: have[name] for host, have in there.items() if name in have}
        without = [host for host in there if host not in having]
        groups: dict[str, list[str]] = {}
        for host, digest in having.items():
            groups.setdefault(digest, []).append(host)
        problems = []
        if name not in names:
            problems.append("it is not in the inventory: `setup` or `secrets.push` removes it")
        elif without:
            problems.append(f"{', '.join(without)} {'lacks' if len(without) == 1 else 'lack'} it: `secrets.push`")
        if len(groups) > 1:
            summary = " | ".join(", ".join(hosts) for hosts in groups.values())
            problems.append(f"hosts have different values ({summary}): `secrets.push`")
        elif wanted is not None and name in wanted and any(digest != wanted[name] for digest in groups):
            problems.append("hosts have another value than the inventory: `secrets.push`")
        row: dict[str, Any] = {
            "secret": name,
            "hosts": ", ".join(having) or "none",
            "agree": len(groups) == 1 and not without,
        }
        if wanted is not None:
            row["as here"] = name in wanted and set(groups) == {wanted[name]}
        if problems:
            row["problem"] = "; ".join(problems)
        listed.append(row)
    for host, result in found.items():
        if isinstance(result, Problem):
            listed.append({"host": host, "problem": result.reason})
        elif result.stale:
            listed.append({"host": host, "problem": "the running app was started with earlier secrets: `restart`"})
    return listed


def _phase(fleet: Fleet, verb: Literal["push", "list"], content: str, key: str = "") -> SecretFile:
    inventory = fleet.inventory
    where = etc(inventory)
    file, ledger = f"{where}/secrets.env", f"{where}/.written"
    return SecretFile(
        verb=verb,
        file=file,
        ledger=ledger,
        content=content,
        key=key or entropy.token_hex(32),
        **app_parameters(inventory),
        helper=helper(inventory),
        environment=inventory.name,
    )
