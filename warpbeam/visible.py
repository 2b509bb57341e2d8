"""Text of others, made safe to look at: characters that steer a terminal, reorder or hide text are shown by their code.

A commit, a host, a build, an app and a file's name may hold anything. No character is dropped, because nobody would
notice its absence: it becomes its escape in Python and JSON, such as `\\x1b`, `\\n` or `\\u202e`. The modules that
write to a stream do this (`cli/screen.py`, `cli/output.py`, `cli/report.py`), not the sources of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Characters that Unicode calls printable but that draw nothing: its Default_Ignorable_Code_Point without the controls,
# and the Braille pattern without a dot. The Hangul fillers are letters, so no category identifies them.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NOT_PLAIN = re.compile("[^ -~]")
# Selectors that draw the sign before as text or as a picture (Unicode, Standardized Variation Sequences).
_STYLES = "\ufe0e\ufe0f"
# Marks are drawn over the sign before. Too many of them cover the lines above and below; no script needs more than this
# on one letter.
MOST_MARKS = 6
_PERHAPS_MARKED = re.compile(rf"\A[^\x00-\x7f]|\n[^\x00-\x7f]|[^\x00-\x7f]{{{MOST_MARKS + 1}}}")


def visible(text: str, keep: str = "") -> str:
    """Return `text` in one line, with every character that is not drawn shown by its code.

    These are controls (C0, DEL, C1), ends of lines and paragraphs, characters that set the direction of text, that have
    no width or no assigned meaning, and lone surrogates. Blanks of any kind become plain ones.

    Parameters:
        keep: line ends or tabs that stay.
    """
    if text.isprintable() and (text.isascii() or not (_UNSEEN.search(text) or _PERHAPS_MARKED.search(text))):
        return text

    def shown(found: re.Match[str]) -> str:
        sign = found[0]
        if sign in keep or (sign.isprintable() and not _UNSEEN.match(sign)):
            return sign
        # Imported here, because it is rarely needed.
        from unicodedata import category

        if category(sign) == "Zs":
            return " "
        before = text[found.start() - 1 : found.start()]
        if sign in _STYLES and before and category(before) == "So":
            return sign
        return sign.encode("unicode_escape").decode()

    return _thinned(_NOT_PLAIN.sub(shown, text), lambda sign: sign.encode("unicode_escape").decode())


def visible_json(text: str) -> str:
    """Return equal JSON, with every character that is not drawn as `\\uXXXX`."""

    def escaped(found: re.Match[str]) -> str:
        sign = found[0]
        if sign == "\n" or (sign.isprintable() and not _UNSEEN.match(sign)):
            return sign
        return as_json(sign)

    def as_json(sign: str) -> str:
        units = sign.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

    return _thinned(_NOT_PLAIN.sub(escaped, text), as_json)


def _thinned(text: str, code: Callable[[str], str]) -> str:
    """Return `text` with the `code` of each mark that has no sign before it in its line, or too many marks."""
    if text.isascii() or not _PERHAPS_MARKED.search(text):
        return text
    from unicodedata import category

    signs = []
    marks = MOST_MARKS
    for sign in text:
        if sign.isascii() or category(sign) not in ("Mn", "Me"):
            marks = MOST_MARKS if sign == "\n" else 0
        else:
            marks += 1
        signs.append(code(sign) if marks > MOST_MARKS else sign)
    return "".join(signs)
