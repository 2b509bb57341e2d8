"""Trees with origins: the nodes of a YAML text, and their lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.inventory import strict_yaml
from warpbeam.inventory.origin import FileLine
from warpbeam.inventory.tree import ConfigError, Mapping, Node, Scalar, Sequence, dotted, find, quoted

FILE = Path("x.yml")


def parse(text: str) -> Node:
    return strict_yaml.parse(text, FILE)


def line(of: Node | ConfigError) -> int:
    assert isinstance(of.origin, FileLine)
    assert of.origin.file == FILE
    return of.origin.line


def plain(node: Node) -> Any:
    """Return a tree without its origins."""
    if isinstance(node, Mapping):
        return {name: plain(each) for name, each in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(each) for each in node.items]
    return node.value


def error_of(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-17", -17),
        ("+4", 4),
        ("0", 0),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("y", "y"),
        ("22:22", "22:22"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("1.2.3", "1.2.3"),
        ("2026-01-01", "2026-01-01"),
        ("0a", "0a"),
        ("9" * 5000, "9" * 5000),
        ('"1"', "1"),
        ("'true'", "true"),
        ('""', ""),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(written: str, value: object) -> None:
    found = plain(parse(f"a: {written}\n"))["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("written", ["0644", "-01", "00", "0x1f", "0o17", "0b11"])
def test_a_number_that_the_two_yamls_read_differently_is_refused(written: str) -> None:
    assert (
        str(error_of(f"a: {written}\n")) == f"x.yml:1: a: expected a decimal number or text in quotes, found {written}"
    )


def test_values_have_the_line_of_their_key_and_items_their_own() -> None:
    tree = parse("# first\na:\n  b: 1\n\n  c:\n    - x\n    - y\nd:\n  'text'\ne:\n")
    assert isinstance(tree, Mapping)
    keys = [("a",), ("a", "b"), ("a", "c"), ("d",), ("e",)]
    lines = {key: line(node) for key in keys if (node := find(tree, key))}
    assert lines == {("a",): 2, ("a", "b"): 3, ("a", "c"): 5, ("d",): 8, ("e",): 10}
    inner = tree.entries["a"]
    assert isinstance(inner, Mapping)
    items = inner.entries["c"]
    assert isinstance(items, Sequence)
    assert [line(item) for item in items.items] == [6, 7]


def test_a_key_that_was_not_written_has_no_node() -> None:
    assert find(parse("a:\n  b: 1\n"), ("a", "c")) is None
    assert find(parse("a: 1\n"), ("a", "b")) is None


@pytest.mark.parametrize(
    ("text", "at", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, ("a",)),
        ("a: {b: 1, b: 2}\n", 1, ("a", "b")),
        ("1: a\n'1': b\n", 2, ("1",)),
        ("x:\n  - a: &b c\n", 2, ("x", "a")),
        ("a: 1\n&k b: 2\n", 2, ()),
        ("a:\n  <<: *b\n", 2, ("a",)),
        ("? [a]\n: b\n", 1, ()),
        ("*a : b\n", 1, ()),
        ("a: !local b\n", 1, ("a",)),
        ("a: ! b\n", 1, ("a",)),
        ("a:\n  b\n  c\n", 1, ("a",)),
        ('a: 1\n"": 2\n', 2, ()),
        ("a: 1\n...\n---\nb: 1\n", 3, ()),
        ("a: [1, 2\nb: 3\n", 1, ("a",)),
        ("a: [1, 2,\n\nb: 3\n", 4, ()),
        ("a: 'x\nb: 1\n", 1, ()),
        ("a:\n  b: 1\n \tc: 2\n", 3, ()),
    ],
)
def test_what_is_left_out_is_refused_at_its_line_and_key(text: str, at: int, key: tuple[str, ...]) -> None:
    error = error_of(text)
    assert (error.origin, error.key) == (FileLine(FILE, at), key)
    assert error.hint


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert plain(parse("'<<': 1\n")) == {"<<": 1}


@pytest.mark.parametrize("open_", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_does_not_break_the_reader(open_: str) -> None:
    for depth in (20, 50_000):
        assert line(error_of("a:\n  " + open_ * depth)) >= 1


def test_a_path_of_keys_quotes_what_would_be_ambiguous() -> None:
    assert dotted(("hosts", "web1.example.com", "port")) == 'hosts."web1.example.com".port'


def test_quoted_text_is_one_short_printable_line() -> None:
    assert quoted('a"\n\x1b') == '"a\\"\\n\\u001b"'
    assert len(quoted("x" * 1000)) < 50
    assert quoted("a\udcff") == '"a\\\\udcff"'


@given(st.text())
def test_arbitrary_text_gives_a_tree_or_an_error_on_a_line_of_it(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert 1 <= line(error) <= len(text.splitlines()) + 1
        assert "\n" not in str(error)


ALPHABET = st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?~ \t\n\r0.", max_size=60)


@given(ALPHABET)
def test_text_made_of_yamls_own_signs_gives_a_tree_or_an_error(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert "\n" not in str(error)


@given(
    st.recursive(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_json_writes_is_read_back_as_it_was(tree: Any) -> None:
    if tree in ("", None):
        return
    text = json.dumps(tree, ensure_ascii=False).replace("\x7f", "").replace("\ufeff", "")
    assert plain(parse(text)) == json.loads(text)


def test_a_scalar_keeps_how_it_was_written() -> None:
    tree = parse("a: 1.10\nb: '1.10'\n")
    assert isinstance(tree, Mapping)
    assert tree.entries == {
        "a": Scalar(FileLine(FILE, 1), "1.10", 1.1),
        "b": Scalar(FileLine(FILE, 2), "1.10", "1.10", quoted=True),
    }
