"""A mix.exs: the names, releases and dependencies that its text has."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from warpbeam.init.elixir import Word, at, closing, words_of


class MixFile(msgspec.Struct, frozen=True):
    """A mix.exs. `app` is empty for the root of an umbrella, whose apps are in `apps_path`.

    `module` is its module without `.MixProject`. `deps` are all names of dependencies, `private` those that git gets
    over ssh. `tars`: a release has the step `:tar`.
    """

    module: str = ""
    app: str = ""
    apps_path: str = ""
    releases: tuple[str, ...] = ()
    default_release: str = ""
    deps: frozenset[str] = frozenset()
    private: tuple[str, ...] = ()
    tars: bool = False


def read_mix_file(source: str) -> MixFile:
    """Return what the text of a mix.exs says."""
    words = words_of(source)
    return MixFile(
        module=_after(words, Word("word", "defmodule"), "word").removesuffix(".MixProject").removesuffix(".Mixfile"),
        app=_after(words, Word("key", "app"), "atom"),
        apps_path=_after(words, Word("key", "apps_path"), "string"),
        releases=_releases(words),
        default_release=_after(words, Word("key", "default_release"), "atom"),
        deps=frozenset(name for name, _ in _deps(words)),
        private=tuple(name for name, rest in _deps(words) if _is_over_ssh(rest)),
        tars=Word("atom", "tar") in words,
    )


def _after(words: Sequence[Word], before: Word, kind: str) -> str:
    """Return the text of the first word of that kind that stands right after `before`, or an empty string."""
    for index, word in enumerate(words):
        if word == before and (found := at(words, index + 1)).kind == kind:
            return found.text
    return ""


def _releases(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the names under `releases:`, in order; its value is a list, or a call of a function that has the list."""
    if Word("key", "releases") not in words:
        return ()
    start = words.index(Word("key", "releases")) + 1
    if (function := at(words, start)).kind == "word":
        heads = (Word("word", "def"), Word("word", "defp"))
        start = next((i + 2 for i, word in enumerate(words) if word in heads and at(words, i + 1) == function), start)
        while start < len(words) and words[start].text != "[":
            start += 1
    if at(words, start).text != "[":
        return ()
    return tuple(_keys(words[start + 1 : closing(words, start)]))


def _keys(inside: Sequence[Word]) -> list[str]:
    """Return the keys of a keyword list: `name: […]`, or `{:name, […]}`."""
    keys, index = [], 0
    while index < len(inside):
        word = inside[index]
        if word.kind == "key":
            keys.append(word.text)
        elif word.text == "{" and (name := at(inside, index + 1)).kind == "atom":
            keys.append(name.text)
        index = closing(inside, index) + 1 if word.kind == "sign" and word.text in "[{(" else index + 1
    return keys


def _deps(words: Sequence[Word]) -> list[tuple[str, Sequence[Word]]]:
    """Return every `{:name, …}` and `{:name, "…", …}` with the words after the name."""
    return [
        (name.text, words[index + 2 : closing(words, index)])
        for index, word in enumerate(words)
        if word == Word("sign", "{") and (name := at(words, index + 1)).kind == "atom"
    ]


def _is_over_ssh(rest: Sequence[Word]) -> bool:
    """Return whether a dependency's options name a git repository that is reached with a key."""
    for index, word in enumerate(rest):
        if word == Word("key", "git"):
            url = at(rest, index + 1).text
            return url.startswith(("ssh://", "git+ssh://")) or ("@" in url and "://" not in url)
    return False
