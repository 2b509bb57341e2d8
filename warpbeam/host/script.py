"""The text of a phase, as a host gets it on standard input of the constant command `READER`.

It is a line that reads the rest, then the parameters as assignments, the shared parts (`host/common.sh` first), and the
script, which lies beside the module of its phase. So no value, secret or not, is ever in an argument list.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from warpbeam.host.phase import Phase

# The scripts lie here: each beside the module of its phase, shared parts in `host/` and `deploy/`.
PACKAGE = Path(__file__).parents[1]
# Parts that the privileged helper contains too, by the part of the phases that needs each, and is sent after it.
CONTAINED = {"host/common": "host/json", "host/layout": "host/release_rules"}
# An empty line, or one that is a comment alone. No string in a script has such a line (tests/unit/test_scripts.py).
COMMENT = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)

# The end mark of a phase's text.
END = "exit; }"

# The constant command. A login's startup files run before it: they may read from our standard input or redirect its
# output. So this bash reads no startup file of its own, and runs a script only when it came whole from its first line.
# Login shells other than bash must pass the text on unchanged: it has no other quotes, no backslash and no
# exclamation mark.
READER = (
    """bash --norc -p -c 'LC_ALL=C; unset BASH_ENV ENV TMOUT; IFS= read -r REPLY;"""
    """ case $REPLY in "LC_ALL=C; IFS= read -rN "*"; exit 96") ;; *) exit 96 ;; esac;"""
    """ if [ -p /dev/fd/1 ] || [ -S /dev/fd/1 ]; then eval "$REPLY"; fi; exit 95'"""
)


def sources(phase: Phase[Any] | type[Phase[Any]]) -> tuple[str, ...]:
    """Return the names of the scripts that the phase is sent with, in their order."""
    return (*with_contained(phase.parts), phase.script)


def with_contained(parts: Iterable[str]) -> tuple[str, ...]:
    """Return the parts, each after the part that it needs."""
    return tuple(name for part in parts for name in (CONTAINED.get(part), part) if name)


def text_of(phase: Phase[Any], *, comments: bool = False, later: Collection[str] = ()) -> str:
    """Return the phase as one command for bash; without `comments`, hosts read a third less, several times over.

    Parameters:
        later: fields that the text leaves out: their assignments come before it, once somebody knows their values.
    """
    lines = [_assignment(field, getattr(phase, field)) for field in phase.__struct_fields__ if field not in later]
    texts = [_source(name, comments) for name in sources(phase)]
    # One group of commands: bash reads all of it before it runs any. So a text that is cut in the middle runs nothing,
    # and a text that runs from a file goes on unchanged when that file is overwritten. (bash would copy a function,
    # which doubles the cost.)
    return "\n".join(["{", *lines, *texts, END])


def render(phase: Phase[Any]) -> bytes:
    """Return the bytes for a host's bash, without a body.

    bash reads commands from a pipe a byte at a time, so as not to take the input of these commands: 20 ms of processor
    time for a script. So the first line reads the rest by `read -N`, which takes it in a few pieces and no byte more;
    in the locale C it counts bytes. The text runs only when its end mark is there. bash never takes the rest of a body
    for commands. Where the first line is lost, or a shell other than bash reads it (`exec dash` in a startup file),
    that line or the next one ends the shell.
    """
    text = b"""[ "${REPLY+read}" ] || exit 97
printf '\\036{"begun":true}\\n'
%s""" % text_of(phase).encode()
    first = b'LC_ALL=C; IFS= read -rN %d REPLY; case $REPLY in *"%s") eval "$REPLY" ;; esac; exit 96'
    return first % (len(text), END.encode()) + b"\n" + text


@cache
def _source(name: str, comments: bool) -> str:
    """Return a script's text without its first line, the shebang."""
    text = (PACKAGE / f"{name}.sh").read_text("utf-8").partition("\n")[2]
    return text if comments else COMMENT.sub("", text)


def _assignment(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return f"{name}=({' '.join(shlex.quote(_plain(item)) for item in value)})"
    return f"{name}={shlex.quote(_plain(value))}"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if "\0" in text:
        raise ValueError("a parameter of a script cannot hold a NUL")
    return text
