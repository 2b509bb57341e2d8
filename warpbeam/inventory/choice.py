"""The choice of hosts: what `-H`, `--skip` and `--host` take. One text, such as `web1,@worker,web*,!web3`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from warpbeam.error import Misuse
from warpbeam.inventory.decode import nearest
from warpbeam.inventory.tree import quoted

# A message does not list a thousand hosts.
MOST_LISTED = 20
Groups = Mapping[str, str | None]


def choose(text: str, hosts: Groups, said: str, kind: str = "host", declared: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the hosts that `text` chooses, in the order of `hosts`.

    A part of the text, between commas, is a name, a pattern (`*` stands for any characters, `?` for one), or a group
    after `@`. Parts after `!` take hosts away, wherever they stand; where all parts do, they take them from all hosts.

    Parameters:
        hosts: the hosts that there are, each with its group, if any.
        said: what a message begins with: the option or the file.
        kind: what a message calls one of `hosts`.
        declared: the groups that there are, also those without hosts.

    Raises:
        Misuse: a part names no host, or no host is left.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wanted = [part for part in parts if not part.startswith("!")]
    unwanted = [part[1:] for part in parts if part.startswith("!")]
    if not parts:
        raise Misuse(f"{said}: expected the name of {_a(kind)}, found nothing", _known(hosts))
    chosen = {name for part in wanted for name in _named(part, hosts, said, kind, declared)} if wanted else {*hosts}
    for part in unwanted:
        chosen.difference_update(_named(part, hosts, said, kind, declared))
    if not chosen:
        raise Misuse(f"{said}: expected at least one {kind}, found none left of {quoted(text)}", _known(hosts))
    return tuple(name for name in hosts if name in chosen)


def _named(part: str, hosts: Groups, said: str, kind: str, declared: Iterable[str]) -> set[str]:
    """Return the hosts that one part names, without its `!`. Raises: Misuse, where there is none."""
    if part.startswith("@"):
        groups = _groups(hosts)
        found = {name for name, group in hosts.items() if group is not None and _fits(group, part[1:])}
        what, near = "group", nearest(part[1:], groups)
    else:
        groups = ()
        found = {name for name in hosts if _fits(name, part)}
        what, near = kind, nearest(part, hosts)
    if not found and part.startswith("@") and part[1:] in declared:
        raise Misuse(f"{said}: no {kind} is in the group {part[1:]}", _known(hosts))
    if not found:
        wanted = quoted(part.removeprefix("@"))
        missing = f"{what} like {wanted}" if _is_pattern(part) else f"{what} {wanted}{near}"
        raise Misuse(f"{said}: there is no {missing}", _known(hosts))
    return found


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _is_pattern(part: str) -> bool:
    return "*" in part or "?" in part


def _groups(hosts: Groups) -> tuple[str, ...]:
    return tuple(dict.fromkeys(group for group in hosts.values() if group is not None))


def _known(hosts: Groups) -> str:
    groups = _groups(hosts)
    also = f"; the groups are {_listed(f'@{group}' for group in groups)}" if groups else ""
    return f"the hosts are {_listed(hosts)}{also}"


def _listed(names: Iterable[str]) -> str:
    every = [*names]
    more = f", … ({len(every)} in all)" if len(every) > MOST_LISTED else ""
    return ", ".join(every[:MOST_LISTED]) + more


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
