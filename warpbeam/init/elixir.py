"""Elixir source as words, for reading a few facts from a text that is never evaluated: mix may not be installed here.

A text that these words do not fit loses facts and raises nothing: `init` shows what it found, and people check it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_WORDS = re.compile(
    r'''
      (?P<comment>\#[^\n]*)
    | (?P<heredoc>(?:~[a-zA-Z]+)?(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'))
    | (?P<sigil>~[a-zA-Z]+(?:\((?:\\.|[^)\\])*\)|\[(?:\\.|[^]\\])*\]|\{(?:\\.|[^}\\])*\}|<(?:\\.|[^>\\])*>
        |/(?:\\.|[^/\\])*/|\|(?:\\.|[^|\\])*\||"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')[a-zA-Z]*)
    | (?P<character>(?<![\w)])\?(?:\\.|\S))
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<charlist>'(?:\\.|[^'\\])*')
    | (?P<key>[A-Za-z_]\w*[?!]?:(?=\s))
    | (?P<atom>:[A-Za-z_]\w*[?!]?)
    | (?P<word>@?[A-Za-z_][\w.]*[?!]?)
    | (?P<sign>\|\||\|>|[^\s\w])
    | (?P<number>\d[\w.]*)
    ''',
    re.VERBOSE,
)
_LEFT_OUT = ("comment", "heredoc", "sigil", "character")
_OPENED, _CLOSED = frozenset("[{("), frozenset("]})")


class Word(NamedTuple):
    """One word: a `string` without its quotes, an `atom` or a `key` without its colon, a `word` or a `sign`."""

    kind: str
    text: str


# After the last word of a source.
END = Word("end", "")


def words_of(source: str) -> list[Word]:
    """Return the words of Elixir source without its comments, heredocs and sigils."""
    words = []
    for found in _WORDS.finditer(source):
        kind, text = found.lastgroup or "", found[0]
        if kind in _LEFT_OUT:
            continue
        if kind in ("string", "charlist"):
            text = text[1:-1]
        words.append(Word(kind, text.strip(":") if kind in ("atom", "key") else text))
    return words


def at(words: Sequence[Word], index: int) -> Word:
    """Return the word at `index`, or END where there is none."""
    return words[index] if 0 <= index < len(words) else END


def closing(words: Sequence[Word], opening: int) -> int:
    """Return the index of the sign that closes the bracket at `opening`, or that after the last word."""
    depth = 0
    for index in range(opening, len(words)):
        if words[index].kind == "sign":
            depth += (words[index].text in _OPENED) - (words[index].text in _CLOSED)
            if depth == 0:
                return index
    return len(words)
