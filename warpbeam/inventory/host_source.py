"""Sources of hosts: what `hosts_from` names is asked, and its answer becomes a tree of hosts."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path, PurePath

import msgspec

from warpbeam.error import Refused
from warpbeam.inventory.ansible_hosts import hosts_of_group
from warpbeam.inventory.ask import MOST_BYTES, Answer, ask
from warpbeam.inventory.decode import EXPLAINED, decode
from warpbeam.inventory.files import seen
from warpbeam.inventory.hosts_from import MOST_HOSTS, FoundHosts, HostsFrom
from warpbeam.inventory.json_tree import parse_json
from warpbeam.inventory.merge import merge
from warpbeam.inventory.tree import ConfigError, Key, Mapping, Node, Place, Scalar, Sequence, find

KEY: Key = ("hosts_from",)
# The environments, on the way to this process, that wait for the answer of a source: digests of their files' paths.
WAITING = "WARPBEAM_HOSTS_FROM"
MOST_WAITING = 8
# A word that sets a variable for a command, without quotes: a quoted one may go on in the next word.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^'\"\\]*")
# The name of a program as messages show it.
_PROGRAM = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
# The answer of each source, by what it is: `fab` asks each of them once.
Answers = dict[tuple[str, ...], Answer]


class Asking(msgspec.Struct, frozen=True):
    """The one key of an environment that decides which sources are asked for hosts."""

    hosts_from: tuple[HostsFrom, ...] = ()


class HostSource(msgspec.Struct, frozen=True):
    """A source of hosts.

    Parameters:
        asked: the source, as `place` of the inventory names it; `node` is that place's own.
        file: the environment that asks.
        answers: what was answered before, to which this source adds its own.
    """

    asked: HostsFrom
    place: Place
    node: Node
    file: Path
    answers: Answers

    @property
    def title(self) -> str:
        """The source as messages and origins name it: `hosts_from.0 (terraform output …)`."""
        return f"{'.'.join(self.place.key)} ({title_of(self.asked)})"

    def read(self) -> Node:
        """Return the tree of its hosts, each a mapping.

        Raises:
            Refused: it fails, or takes too long. ConfigError: its answer is none.
        """
        answer = self._answer()
        try:
            return self._hosts(answer.printed)
        except ConfigError as error:
            # The first program of a pipe may have failed: the shell sees the status of the last one only.
            error.details = answer.last_words
            if error.hint == EXPLAINED:
                error.hint = f"docs/hosts-from.md has the form of the JSON; the source is at {self.place}"
            raise

    def _hosts(self, printed: bytes) -> Node:
        try:
            text = printed.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"{self.title}: expected UTF-8, found something else at byte {error.start}"
            raise ConfigError(self.place.origin, (), message, "run it by hand to see all of it") from None
        found = parse_json(text, self.title, self.place.origin.directory)
        if self.asked.ansible is not None:
            found = hosts_of_group(found, self.asked.ansible.group)
        hosts = _as_hosts(found)
        decode(Mapping(found.origin, {"hosts": hosts}), FoundHosts)
        return self._completed(hosts)

    def _answer(self) -> Answer:
        asked, directory = self.asked, self.place.origin.directory
        said = f"{self.place.origin}: {self.title}"
        if asked.file is not None:
            return Answer(_content(asked.file, self.place))
        if asked.ansible is not None:
            inventory = path_of(asked.ansible.inventory, directory)
            if not os.access(inventory, os.F_OK):
                raise ConfigError(
                    self.place.origin,
                    self.place.key,
                    f"expected Ansible's inventory, found no such file: {seen(inventory)}",
                    f"a relative path begins at {seen(directory)}",
                )
            argv: list[str] | str = ["ansible-inventory", "-i", str(inventory), "--list"]
        else:
            argv = asked.command or ""
        key = (str(directory), *([argv] if isinstance(argv, str) else argv))
        if key not in self.answers:
            self.answers[key] = ask(argv, directory, asked.timeout, said, self._variables(said))
        return self.answers[key]

    def _variables(self, said: str) -> dict[str, str]:
        """Return the variables for a program. Raises: Refused, where it is this program that asks us."""
        # A digest, because a path may hold any separator.
        file = sha256(os.fsencode(self.file.absolute())).hexdigest()
        waiting = os.environ.get(WAITING, "").split()
        if file in waiting or len(waiting) >= MOST_WAITING:
            hint = "its program runs `fab` for this environment: name another source there, or an inventory without it"
            raise Refused(f"{said}: expected another source, found a circle: it asks this environment itself", hint)
        # Otherwise Ansible prints an empty inventory for a file that it cannot read.
        return {WAITING: " ".join((*waiting, file)), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}

    def _completed(self, hosts: Mapping) -> Mapping:
        """Return the hosts with the roles and the group of the source's entry, where they have none."""
        own = {name: node for name in ("roles", "group") if (node := find(self.node, (name,))) is not None}
        each = {name: merge((Mapping(host.origin, own), host)) for name, host in hosts.entries.items()} if own else {}
        return Mapping(hosts.origin, {**hosts.entries, **each})


def add_hosts(tree: Node, file: Path, answers: Answers) -> Node:
    """Return `tree` with the hosts of its `hosts_from`, under `hosts`, where the files have the last word.

    Raises: as `HostSource.read`; ConfigError, where `hosts_from` does not fit.
    """
    node = find(tree, KEY)
    if node is None or not isinstance(tree, Mapping):
        return tree
    if _is_null(node):
        # `hosts_from:` with nothing after it is an empty list.
        return Mapping(tree.origin, {name: each for name, each in tree.entries.items() if name != KEY[0]})
    asking = decode(Mapping(tree.origin, {KEY[0]: node}), Asking).hosts_from
    nodes = node.items if isinstance(node, Sequence) else ()
    sources = [
        HostSource(each, Place((*KEY, str(index)), at.origin), at, file, answers)
        for index, (each, at) in enumerate(zip(asking, nodes, strict=True))
    ]
    if not sources:
        return tree
    # `hosts:` with nothing after it would take all hosts away again, and a host with nothing after it what is known.
    written = {name: each for name, each in tree.entries.items() if name != "hosts" or not _is_null(each)}
    hosts = written.get("hosts")
    if isinstance(hosts, Mapping):
        more = {name: Mapping(host.origin, {}) if _is_null(host) else host for name, host in hosts.entries.items()}
        written["hosts"] = Mapping(hosts.origin, more)
    found = [source.read() for source in sources]
    return merge((*(Mapping(each.origin, {"hosts": each}) for each in found), Mapping(tree.origin, written)))


def path_of(text: str, directory: Path) -> Path:
    """Return a path from `directory` or, where it begins with ~, from a home directory; links stay as they are."""
    return Path(os.path.normpath(directory / os.path.expanduser(text)))  # noqa: PTH111 (raises nothing)


def title_of(asked: HostsFrom) -> str:
    """Return a source in a few words: the beginning of its command, its file, its group of Ansible."""
    if asked.file is not None:
        return seen(asked.file)
    if asked.ansible is not None:
        return f"{asked.ansible.group} of {Path(asked.ansible.inventory).name}"
    # No more than the program's name: a password may stand anywhere else, in a variable before it too.
    words = (asked.command or "").split()
    while words and _VARIABLE.fullmatch(words[0]):
        words = words[1:]
    first, *more = words or [""]
    name = PurePath(first).name
    if not _PROGRAM.fullmatch(name):
        return "a command"
    return f"{name} …" if more else name


def _content(file: Path, place: Place) -> bytes:
    try:
        if file.exists() and not file.is_file():
            raise ConfigError(place.origin, place.key, f"expected a file, found {seen(file)}", "name a file")
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        message = f"expected a file of hosts, cannot read {seen(file)}: {error.strerror}"
        hint = f"a relative path begins at {seen(place.origin.directory)}"
        raise ConfigError(place.origin, place.key, message, hint) from None
    if len(content) > MOST_BYTES:
        message = f"expected a file of hosts, found more than {MOST_BYTES >> 20} MiB in {seen(file)}"
        raise ConfigError(place.origin, place.key, message, "name another file")
    return content


def _as_hosts(found: Node) -> Mapping:
    """Return hosts by name, each as a mapping: an address alone is one too. Raises: ConfigError."""
    hint = 'the form is {"web1": {"address": "192.0.2.10"}}: docs/hosts-from.md'
    if not isinstance(found, Mapping):
        raise ConfigError(found.origin, (), "expected an object with hosts by name, found another value", hint)
    if len(found.entries) > MOST_HOSTS:
        message = f"expected at most {MOST_HOSTS} hosts, found {len(found.entries)}"
        raise ConfigError(found.origin, (), message, "does the source filter by the app and the environment?")
    hosts: dict[str, Node] = {}
    for name, each in found.entries.items():
        if isinstance(each, Mapping):
            hosts[name] = Mapping(each.origin, {key: part for key, part in each.entries.items() if not _is_null(part)})
        else:
            hosts[name] = Mapping(each.origin, {} if _is_null(each) else {"address": each})
    return Mapping(found.origin, hosts)


def _is_null(node: Node) -> bool:
    """Return whether JSON has null there, which programs print for what they do not know."""
    return isinstance(node, Scalar) and node.value is None
