"""The steps from trees to an inventory: they are merged, and each error names the source of its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.inventory.conflicts import Conflict, conflicts
from warpbeam.inventory.decode import decode
from warpbeam.inventory.merge import merge
from warpbeam.inventory.narrow import narrow
from warpbeam.inventory.origin import FileLine, Origin
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.strict_yaml import parse
from warpbeam.inventory.tree import ConfigError, Key, Mapping, Node, Place, Scalar, Sequence, find

BASE = """\
org: acme
app: hello
http: {port: 8080, slots: [4001, 4002]}
hosts:
  web1: {address: 10.0.0.1}
  web2: {address: 10.0.0.2}
"""


def merged(*texts: str) -> Node:
    """Return the tree of the texts, merged, as the files base.yml, 1.yml, 2.yml and so on."""
    return merge(parse(text, Path(f"{number or 'base'}.yml")) for number, text in enumerate(texts))


def plain(node: Node) -> Any:
    """Return a tree without its origins."""
    if isinstance(node, Mapping):
        return {name: plain(each) for name, each in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(each) for each in node.items]
    return node.value


def origin(tree: Node, *key: str) -> Origin:
    node = find(tree, key)
    assert node is not None
    return node.origin


def first_conflict(tree: Node) -> Conflict:
    return next(conflicts(decode(tree, Inventory), tree))


def complaint(tree: Node) -> str:
    """Return the message about a tree that does not fit."""
    with pytest.raises(ConfigError) as caught:
        decode(tree, Inventory)
    return caught.value.message


# Merging


def test_mappings_are_merged_by_key_and_other_values_are_replaced() -> None:
    tree = merged("a: {b: 1, c: [1, 2]}\nd: x\n", "a: {c: [3], e: true}\nf: y\n")
    assert plain(tree) == {"a": {"b": 1, "c": [3], "e": True}, "d": "x", "f": "y"}
    assert [*plain(tree)] == ["a", "d", "f"]


def test_each_value_keeps_its_origin_and_a_mapping_has_that_of_the_last_word() -> None:
    tree = merged("a:\n  b: 1\n  c: 2\nd: {}\n", "\n\na:\n  c: 3\n")
    base, last = Path("base.yml"), Path("1.yml")
    assert origin(tree, "a", "b") == FileLine(base, 2)
    assert origin(tree, "a", "c") == FileLine(last, 4)
    assert origin(tree, "a") == FileLine(last, 3)
    assert origin(tree, "d") == FileLine(base, 4)


def test_nothing_after_a_key_takes_a_part_back_to_its_defaults() -> None:
    assert plain(merged(BASE, "http:\n"))["http"] is None
    assert decode(merged(BASE, "http:\n"), Inventory).http.port == 80


def test_a_value_that_is_no_mapping_cuts_off_the_values_before_it() -> None:
    assert plain(merged("a: {b: 1}\n", "a:\n", "a: {c: 2}\n")) == {"a": {"c": 2}}


def test_three_trees_are_merged_in_their_order() -> None:
    assert plain(merged("a: 1\nb: 1\nc: 1\n", "b: 2\nc: 2\n", "c: 3\n")) == {"a": 1, "b": 2, "c": 3}


# The names of scalars, lists and mappings differ: merging is associative where a key has one kind of value everywhere,
# as in inventories that fit the schema.
ORIGINS = st.builds(FileLine, st.sampled_from([Path("a.yml"), Path("b.yml"), Path("c.yml")]), st.integers(1, 99))
SCALARS = st.builds(lambda at, number: Scalar(at, str(number), number), ORIGINS, st.integers(0, 9))
LISTS = st.builds(lambda at, items: Sequence(at, tuple(items)), ORIGINS, st.lists(SCALARS, max_size=2))
TREES: Any = st.recursive(
    st.builds(Mapping, ORIGINS, st.dictionaries(st.sampled_from(["s1", "s2"]), SCALARS)),
    lambda inner: st.builds(
        lambda at, scalars, lists, maps: Mapping(at, scalars | lists | maps),
        ORIGINS,
        st.dictionaries(st.sampled_from(["s1", "s2"]), SCALARS),
        st.dictionaries(st.sampled_from(["l1", "l2"]), LISTS),
        st.dictionaries(st.sampled_from(["m1", "m2"]), inner),
    ),
    max_leaves=8,
)


def leaves(tree: Node, key: Key = ()) -> dict[Key, Node]:
    """Return every scalar and list of a tree by its key."""
    if not isinstance(tree, Mapping):
        return {key: tree}
    return {where: node for name, each in tree.entries.items() for where, node in leaves(each, (*key, name)).items()}


@given(TREES)
def test_one_tree_alone_stays_as_it_is(tree: Node) -> None:
    assert merge([tree]) is tree
    assert merge([tree, tree]) == tree


@given(TREES, TREES, TREES)
def test_it_makes_no_difference_which_neighbours_are_merged_first(one: Node, two: Node, three: Node) -> None:
    assert merge([merge([one, two]), three]) == merge([one, merge([two, three])]) == merge([one, two, three])


@given(st.lists(TREES, min_size=1, max_size=4))
def test_each_value_is_the_very_node_of_the_last_source_that_has_it(trees: list[Node]) -> None:
    last = {key: node for tree in trees for key, node in leaves(tree).items()}
    found = leaves(merge(trees))
    assert found.keys() == last.keys()
    assert all(found[key] is node for key, node in last.items())


@given(st.lists(TREES, min_size=1, max_size=4))
def test_the_merged_mapping_itself_has_the_origin_of_the_last_source(trees: list[Node]) -> None:
    assert merge(trees).origin == trees[-1].origin


# Errors


def test_an_error_names_the_source_of_the_value_that_does_not_fit() -> None:
    assert complaint(merged(BASE, "hosts:\n  web2: {port: x}\n")).startswith(
        "1.yml:2: hosts.web2.port: expected a port"
    )
    assert complaint(merged(BASE + "orgs: a\n", "app: hi\n")).startswith("base.yml:7: orgs: an unknown key")


def test_a_missing_key_is_one_of_the_source_with_the_last_word() -> None:
    assert complaint(merged("org: acme\n", "\napp: hello\n")).startswith("1.yml:2: hosts: expected keys and values")


def test_an_error_has_its_place_in_fields() -> None:
    with pytest.raises(ConfigError) as caught:
        decode(merged(BASE, "http: {port: 0}\n"), Inventory)
    assert (caught.value.origin, caught.value.key) == (FileLine(Path("1.yml"), 1), ("http", "port"))
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("more", "places"),
    [
        (
            "hosts:\n  web3: {address: 10.0.0.1}\n",
            ["1.yml:2: hosts.web3.address", "base.yml:5: hosts.web1.address"],
        ),
        ("hosts:\n  10.0.0.1: {}\n", ['1.yml:2: hosts."10.0.0.1"', "base.yml:5: hosts.web1.address"]),
        ("ports: {A: {public: 8080, slots: [5001, 5002]}}\n", ["1.yml:1: ports.A.public", "base.yml:3: http.port"]),
        ("ports: {GRPC: {public: 5003, slots: [9001, 5002]}}\n", ["1.yml:1: ports.GRPC.slots"]),
        ("users: {app: deploy}\n", ["1.yml:1: users.app"]),
        ("users: {admin: hello}\n", ["base.yml:2: app", "1.yml:1: users.admin"]),
        ("users:\n  admin: me\n  deploy: me\n", ["1.yml:3: users.deploy", "1.yml:2: users.admin"]),
        ("env: {A: x}\nsecrets: {A: {env: A}}\n", ["1.yml:2: secrets.A", "1.yml:1: env.A"]),
        ("vm: {ports: 4096}\nenv: {ERL_FLAGS: x}\n", ["1.yml:2: env.ERL_FLAGS", "1.yml:1: vm"]),
    ],
)  # fmt: skip
def test_a_conflict_has_the_places_of_all_values_that_were_written(more: str, places: list[str]) -> None:
    assert [str(place) for place in first_conflict(merged(BASE, more)).places] == places


def test_a_conflict_within_one_source_names_its_likeliest_place_alone() -> None:
    places = (Place(("http", "port"), FileLine(Path("x.yml"), 3)),)
    error = ConfigError(FileLine(Path("x.yml"), 9), ("ports", "A"), "expected one, found two", "choose", places)
    assert error.message == "x.yml:9: ports.A: expected one, found two"
    assert error.others == places


# Narrowing


def test_narrowing_starts_from_all_hosts_however_narrow_an_inventory_is() -> None:
    inventory = decode(merged(BASE), Inventory)
    one = narrow(inventory, "web2", Path("x.yml"))
    assert [*one.hosts] == ["web2"]
    assert [*narrow(one, None, Path("x.yml")).hosts] == ["web1", "web2"]
