"""The environment variables that an app's configuration reads where the app runs."""

from __future__ import annotations

import msgspec

from warpbeam.init.elixir import Word, at, closing, words_of

_READERS = ("System.get_env", "System.fetch_env", "System.fetch_env!")


class Variable(msgspec.Struct, frozen=True):
    """A variable. `required`: without it the app does not start, so far as the text says."""

    name: str
    required: bool


def read_variables(source: str) -> tuple[Variable, ...]:
    """Return the variables that the text of a config/runtime.exs reads, in order, each once."""
    words = words_of(source)
    found: dict[str, bool] = {}
    for index, word in enumerate(words):
        if word.kind != "word" or word.text not in _READERS or at(words, index + 1).text != "(":
            continue
        end = closing(words, index + 1)
        name = at(words, index + 2)
        if at(words, index - 1) == Word("sign", "|>"):
            # "NAME" |> System.get_env("default")
            name = at(words, index - 2)
        if name.kind == "string":
            needed = word.text.endswith("!") or (at(words, end + 1).text, at(words, end + 2).text) == ("||", "raise")
            found[name.text] = found.get(name.text, False) or needed
    return tuple(Variable(name, required) for name, required in found.items())
