"""An app's own code: the path that answers health requests, the drain, the function that migrates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from warpbeam.init.elixir import Word, at, words_of

# The likeliest first: a path that is called health in one way or another, then others that only a route may have.
_HEALTH = re.compile(r"/(?:[\w-]+/)*_?health(?:z|[_-]?checks?)?\Z")
_READY = re.compile(r"/(?:[\w-]+/)*(?:readyz?|up|ping|alive|heartbeat)\Z")


def find_health_path(sources: Iterable[str]) -> str:
    """Return the likeliest health path of an app's modules, or an empty string."""
    paths = [path for source in sources for path in _health_paths(words_of(source))]
    return min(paths, key=lambda path: (not _HEALTH.match(path), path != "/health", len(path), path), default="")


def _health_paths(words: Sequence[Word]) -> Iterator[str]:
    """Yield each path that looks like one for health requests, with the paths of the router's scopes around it."""
    scopes: list[str] = []
    scope = ""
    for index, word in enumerate(words):
        before, after = at(words, index - 1), at(words, index + 1)
        if word == Word("word", "scope"):
            scope = next((each.text for each in words[index + 1 : index + 4] if each.kind == "string"), "")
        elif word.kind == "word" and word.text in ("do", "fn"):
            scopes.append(scope)
            scope = ""
        elif word == Word("word", "end") and scopes:
            scopes.pop()
        elif word.kind == "string":
            # `path_info: ["health"]`
            text = f"/{word.text}" if (before.text, after.text) == ("[", "]") else word.text
            if _HEALTH.match(text) or (_READY.match(text) and before == Word("word", "get")):
                yield "".join(each.rstrip("/") for each in scopes) + text


def find_migrate(sources: Iterable[str]) -> str:
    """Return the call of the release module's function `migrate`, such as `Shop.Release.migrate()`, or ""."""
    for source in sources:
        words = words_of(source)
        module = ""
        for index, word in enumerate(words):
            if word == Word("word", "defmodule"):
                module = at(words, index + 1).text
            defined = word == Word("word", "def") and at(words, index + 1) == Word("word", "migrate")
            alone = at(words, index + 2).text != "(" or at(words, index + 3).text == ")"
            if defined and alone and "Release" in module.rpartition(".")[2]:
                return f"{module}.migrate()"
    return ""


def drains(sources: Iterable[str]) -> bool:
    """Return whether the app looks for the drain file in its runtime directory."""
    strings = {word.text for source in sources for word in words_of(source) if word.kind == "string"}
    return "RUNTIME_DIRECTORY" in strings and "drain" in strings


def reads(sources: Iterable[str], variable: str) -> bool:
    """Return whether a source names the environment variable."""
    return any(f'"{variable}"' in source and Word("string", variable) in words_of(source) for source in sources)
