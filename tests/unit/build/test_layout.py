"""Which paths of a repository a build has, and where the app is among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpbeam.build.layout import lay_out, names_beside
from warpbeam.error import Misuse

# The app's prefix, `build.include`; then the paths, their nearest common directory, the app's place in it, the places.
LAYOUTS = [
    ("", [], ("",), "", "", ("",)),
    ("apps/hello/", [], ("apps/hello",), "apps/hello/", "", ("",)),
    ("apps/hello/", ["../shared_lib"], ("apps/hello", "apps/shared_lib"), "apps/", "hello/", ("hello", "shared_lib")),
    (
        "apps/hello/",
        ["../../VERSION", "../../lib/a"],
        ("apps/hello", "VERSION", "lib/a"),
        "",
        "apps/hello/",
        ("apps/hello", "VERSION", "lib/a"),
    ),
    # Everything above the app.
    ("apps/hello/", [".."], ("apps",), "apps/", "hello/", ("",)),
    ("apps/hello/", ["../.."], ("",), "", "apps/hello/", ("",)),
    # A path of the app itself, and a path below another one.
    ("apps/hello/", ["lib", "../hello"], ("apps/hello",), "apps/hello/", "", ("",)),
    ("", ["vendor/x"], ("",), "", "", ("",)),
    (
        "apps/hello/",
        ["../shared/a", "../shared", "../shared_lib"],
        ("apps/hello", "apps/shared", "apps/shared_lib"),
        "apps/",
        "hello/",
        ("hello", "shared", "shared_lib"),
    ),
]


@pytest.mark.parametrize(("prefix", "include", "paths", "base", "place", "places"), LAYOUTS)
def test_included_paths_keep_their_places_beside_the_app(
    prefix: str, include: list[str], paths: tuple[str, ...], base: str, place: str, places: tuple[str, ...]
) -> None:
    layout = lay_out("/repository", prefix, include)

    assert (layout.paths, layout.base, layout.place, layout.places) == (paths, base, place, places)


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "../shared"), ("apps/hello/", "../../../shared"), ("apps/", "../../apps/x")]
)
def test_an_included_path_of_another_repository_is_refused_with_the_reason(prefix: str, path: str) -> None:
    with pytest.raises(Misuse, match="leads out of the git repository /repository") as raised:
        lay_out("/repository", prefix, [path])

    assert "one commit of one repository" in raised.value.hint


def test_what_lies_beside_the_places_is_left_out_of_a_copy(tmp_path: Path) -> None:
    for name in ("hello/lib", "shared/a", "shared/b", "other", "shared/a/deep"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for name in ("README", "VERSION", "shared/file"):
        (tmp_path / name).touch()

    assert names_beside(tmp_path, ["hello", "shared/a", "VERSION"]) == ["README", "other/", "shared/b/", "shared/file"]
    assert names_beside(tmp_path, [""]) == []
