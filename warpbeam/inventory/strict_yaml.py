"""A strict subset of YAML 1.2, read into nodes that know their file and line.

It leaves out what has surprised people: anchors, aliases, merge keys, tags, directives, several documents, duplicate
keys, octal numbers, `22:22` as a number, `no` and `on` as booleans, text that runs over lines by mistake. It reads
libyaml's events, because PyYAML's nodes no longer show anchors, and have the value in the place of an alias.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import msgspec
import yaml
from yaml import events as event

from warpbeam.inventory.origin import FileLine
from warpbeam.inventory.tree import ConfigError, Key, Mapping, Node, Scalar, Sequence

# An inventory has four levels. libyaml allows 1000 and more, which would exceed the recursion limit of Python.
_DEPTH = 12
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")
# 0644 is 420 in YAML 1.1 and 644 in YAML 1.2; 0x1f and 0o17 are numbers in one of them and text in the other.
_ODD_NUMBER = re.compile(r"[-+]?0(?:[0-9]+|x[0-9a-fA-F]+|o[0-7]+|b[01]+)\Z")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
# All but the printable characters of YAML 1.2, section 5.1; libyaml refuses these without naming the line.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Errors for which the line where the fault began is more useful than the line where libyaml noticed it.
_BEGAN = frozenset({"while scanning a quoted scalar", "while scanning a simple key"})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Events(msgspec.Struct, frozen=True):
    """The events of a file that libyaml finds one after the other."""

    file: Path
    rest: Iterator[Any]

    def next(self) -> Any:
        """Return the next event."""
        return next(self.rest)

    def at(self, line: int) -> FileLine:
        """Return the origin of a value on `line`, counted from 1."""
        return FileLine(self.file, line)


def parse(text: str, file: Path) -> Node:
    """Return the one document of the YAML text that `file` holds.

    Raises:
        ConfigError: the text is empty, no YAML, or uses what this module leaves out (see its docstring).
    """
    if odd := _UNPRINTABLE.search(text):
        origin = FileLine(file, text.count("\n", 0, odd.start()) + 1)
        raise ConfigError(origin, (), f"expected text, found the control character U+{ord(odd[0]):04X}", "remove it")
    try:
        return _document(_Events(file, yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, text.splitlines(), file) from None


def _document(events: _Events) -> Node:
    events.next()
    start = events.next()
    is_empty = isinstance(start, event.StreamEndEvent)
    if not is_empty:
        if start.version or start.tags:
            _leave_out(start, events, (), "a directive (%)")
        node = _node(events.next(), events, None, (), 0)
        events.next()
        end = events.next()
        if not isinstance(end, event.StreamEndEvent):
            _leave_out(end, events, (), "a second document (---)", "make it a file of its own")
        is_empty = isinstance(node, Scalar) and not node.text and not node.quoted
    if is_empty:
        hint = "the head of inventory/example.yml shows how to begin"
        raise ConfigError(events.at(1), (), "expected keys and values, found an empty file", hint)
    return node


def _node(found: Any, events: _Events, line: int | None, key: Key, depth: int) -> Node:
    """Return the node that begins with the event `found`; `line` is the line of its key, or None without one."""
    if isinstance(found, event.AliasEvent):
        _leave_out(found, events, key, "an alias (*)", "write the value out; text that begins with * needs quotes")
    if found.anchor is not None:
        _leave_out(found, events, key, "an anchor (&)", "remove it; text that begins with & needs quotes")
    if found.tag is not None:
        _leave_out(found, events, key, "a tag (!)", "remove it; text that begins with ! needs quotes")
    origin = events.at(line or found.start_mark.line + 1)
    if isinstance(found, event.ScalarEvent):
        return _scalar(found, origin, key)
    if depth >= _DEPTH:
        raise ConfigError(origin, key, f"expected at most {_DEPTH} levels, found more", "look for a stray bracket")
    if isinstance(found, event.SequenceStartEvent):
        items = []
        while not isinstance(each := events.next(), event.SequenceEndEvent):
            items.append(_node(each, events, None, key, depth + 1))
        return Sequence(origin, tuple(items))
    entries: dict[str, Node] = {}
    lines: dict[str, int] = {}
    while not isinstance(each := events.next(), event.MappingEndEvent):
        name = _key(each, events, key)
        here = each.start_mark.line + 1
        if name in entries:
            message = f"expected each key once, found it on line {lines[name]} and again"
            raise ConfigError(events.at(here), (*key, name), message, "keep one")
        lines[name] = here
        entries[name] = _node(events.next(), events, here, (*key, name), depth + 1)
    return Mapping(origin, entries)


def _key(found: Any, events: _Events, parent: Key) -> str:
    """Return a key as text, whatever YAML would make of it: a host may be called 1 or on."""
    origin = events.at(found.start_mark.line + 1)
    is_alias = isinstance(found, event.AliasEvent)
    if is_alias or isinstance(found, event.CollectionStartEvent):
        kind = "an alias" if is_alias else "a list or mapping"
        hint = "text that begins with { [ or * needs quotes"
        raise ConfigError(origin, parent, f"expected a name as key, found {kind}", hint)
    if found.anchor is not None or found.tag is not None:
        _leave_out(found, events, parent, "an anchor or a tag")
    if found.value == "<<" and not found.style:
        _leave_out(found, events, parent, "a merge key (<<)", "write the keys out")
    if found.start_mark.line != found.end_mark.line:
        raise ConfigError(origin, parent, "expected a key on one line, found several", "look at the indentation")
    if not found.value:
        raise ConfigError(origin, parent, "expected a name as key, found nothing", "write a name before the colon")
    return str(found.value)


def _scalar(found: Any, origin: FileLine, key: Key) -> Scalar:
    text = found.value
    if found.style:
        return Scalar(origin, text, text, quoted=True)
    if found.start_mark.line != found.end_mark.line:
        hint = "look at the indentation; text of several lines needs quotes or |"
        raise ConfigError(origin, key, "expected a value on one line, found several lines without quotes", hint)
    if text in _WORDS:
        return Scalar(origin, text, _WORDS[text])
    if _WHOLE.match(text):
        return Scalar(origin, text, int(text))
    if _ODD_NUMBER.match(text):
        hint = f'write "{text}" if it is text; a number has no leading zero'
        raise ConfigError(origin, key, f"expected a decimal number or text in quotes, found {text}", hint)
    if _FLOAT.match(text):
        return Scalar(origin, text, float(text))
    return Scalar(origin, text, text)


def _leave_out(found: Any, events: _Events, key: Key, what: str, hint: str = "remove it") -> Never:
    origin = events.at(found.start_mark.line + 1)
    raise ConfigError(origin, key, f"expected plain keys and values, found {what}", hint)


def _unreadable(error: yaml.MarkedYAMLError, lines: list[str], file: Path) -> ConfigError:
    """Return the error for a complaint of libyaml, whose texts quote nothing of the file."""
    mark = error.context_mark if error.context in _BEGAN else error.problem_mark
    line = mark.line + 1 if mark else 1
    origin = FileLine(file, line)
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return ConfigError(origin, (), "expected spaces, found a tab in the indentation", "indent with spaces")
    if "mapping values are not allowed" in (error.problem or ""):
        hint = 'look at the indentation of this line and the one before; text that holds ": " needs quotes'
    elif "cannot start any token" in (error.problem or ""):
        hint = "text that begins with @, ` or % needs quotes"
    else:
        hint = "look at the indentation, quotes and brackets of this line and the one before"
    return ConfigError(origin, (), f"expected YAML, found a fault ({error.problem})", hint)
