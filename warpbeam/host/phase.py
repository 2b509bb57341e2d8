"""A phase: a part of a task that runs on a host as one script in one exec request.

A phase's fields are its script's parameters. The host runs the constant command `READER`. Its standard input is a line
that reads the rest, then the parameters as assignments, the shared parts (`host/common.sh` first), the script, which
lies beside the module of its phase, and the body, where the phase has one. So no value, secret or not, is ever in an
argument list.

Standard output carries records (RFC 7464: RS, JSON, LF); other output of a host (a chatty .bashrc) is ignored.
Progress records come first, the answer last.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from warpbeam.error import Damaged, Failed, Held, Lost, Problem, Refused
from warpbeam.event import Emit, Line, Note, Progress, Step, Warn
from warpbeam.host.answer import LARGEST, LINES, MESSAGE, explained
from warpbeam.host.login_output import BEGUN, MOST_ECHOED, Beginning, not_begun
from warpbeam.limit import (
    LONGEST_RECORD,
    MOST_DONE,
    MOST_LOOKED,
    MOST_RECORDS,
    Allowance,
    Breach,
    Complaints,
    Deadline,
    sized,
)
from warpbeam.shell import Shell

# The scripts lie here: each beside the module of its phase, shared parts in `host/` and `deploy/`.
PACKAGE = Path(__file__).parents[1]
RECORD_START = b"\x1e"
CONVERTING = Lock()
# An empty line, or one that is a comment alone. No string in a script has such a line (tests/unit/test_scripts.py).
COMMENT = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)

# The end mark of a phase's text.
END = "exit; }"

A = TypeVar("A")

# The constant command. A login's startup files run before it: they may read from our standard input or redirect its
# output. So this bash reads no startup file of its own, and runs a script only when it came whole from its first line.
# Login shells other than bash must pass the text on unchanged: it has no other quotes, no backslash and no
# exclamation mark.
READER = (
    """bash --norc -p -c 'LC_ALL=C; unset BASH_ENV ENV TMOUT; IFS= read -r REPLY;"""
    """ case $REPLY in "LC_ALL=C; IFS= read -rN "*"; exit 96") ;; *) exit 96 ;; esac;"""
    """ if [ -p /dev/fd/1 ] || [ -S /dev/fd/1 ]; then eval "$REPLY"; fi; exit 95'"""
)
# Error classes for the `kind` of a script's refusal or failure (`warpbeam/host/common.sh`).
KINDS = {"held": Held, "damaged": Damaged}


class Complaint(msgspec.Struct, frozen=True):
    """A script's refusal or failure. A text that is too long is cut, not refused: it is only shown."""

    message: str
    hint: str = ""
    lines: tuple[str, ...] = ()
    kind: str = ""


class Phase(msgspec.Struct, Generic[A], frozen=True):
    """The parameters of one script. Subclasses name the script and the type of its answer.

    Strings, numbers and booleans become plain assignments (`true` and `false` for booleans, an empty string for
    None), tuples become arrays. Each script reads them under the names of the fields.
    """

    script: ClassVar[str]
    answer: ClassVar[Any]
    # Shared parts that are sent before the script.
    parts: ClassVar[tuple[str, ...]] = ("host/common",)

    @staticmethod
    def sift(said: Any) -> list[str]:
        """Replace, in an answer, what may be wrong without blocking the host; return a sentence about each."""
        return []

    # Bytes that the answer, or any other record, may have.
    longest: ClassVar[int] = LONGEST_RECORD

    @property
    def looks(self) -> bool:
        """Whether the phase changes nothing, so that it has a time limit and may run again."""
        return False

    @property
    def more_seconds(self) -> float | None:
        """Seconds that the phase may take beyond `ssh: answer_timeout`; None: only a phase that looks has a limit."""
        return None


def script_name(phase: Phase[Any]) -> str:
    """Return what messages call the phase: the name of its script, such as `claim`."""
    return phase.script.rpartition("/")[2].replace("_", " ")


def text_of(phase: Phase[Any], *, comments: bool = False) -> str:
    """Return the phase as one command for bash; without `comments`, hosts read a third less, several times over."""
    lines = [_assignment(field, getattr(phase, field)) for field in phase.__struct_fields__]
    sources = [_source(name, comments) for name in (*phase.parts, phase.script)]
    # One group of commands: bash reads all of it before it runs any. So a text that is cut in the middle runs nothing,
    # and a text that runs from a file goes on unchanged when that file is overwritten. (bash would copy a function,
    # which doubles the cost.)
    return "\n".join(["{", *lines, *sources, END])


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


class Records:
    """A reader that finds the records in pieces of standard output."""

    def __init__(self, longest: int = LONGEST_RECORD) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Yield the records that `piece` completes. Raises: Breach, when one is longer than allowed."""
        if not self._rest and RECORD_START not in piece:
            return  # no record, however long
        # Search each piece once: a line in a million pieces then costs no more than a line in one.
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        if self._rest or RECORD_START in rest:
            self._rest += rest
        if len(self._rest) > self._longest:
            # Only the text after the last RS can be a record.
            del self._rest[: self._rest.rfind(RECORD_START)]
        if len(self._rest) > self._longest or any(len(line) > self._longest and RECORD_START in line for line in lines):
            raise Breach(f"sent a record of more than {sized(self._longest)}")
        for line in lines:
            _, mark, text = line.rpartition(RECORD_START)
            if not mark:
                continue
            try:
                record = msgspec.json.decode(text.decode("utf-8", "replace"))
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def run(
    shell: Shell,
    phase: Phase[A],
    emit: Emit,
    body: Iterable[bytes] = (),
    check: Callable[[], None] = lambda: None,
    seconds: float | None = None,
) -> A:
    """Run `phase` on the host of `shell`, emit its steps, and return its answer.

    Parameters:
        check: called before the script is sent, when an interrupt can already reach it; an exception here stops it.
        seconds: the time for the answer, from the moment of sending; None: no limit.

    Raises:
        Refused: a precondition of the script does not hold; it changed nothing. Or a script that only looks did not
            answer in time, or exceeded a bound of `warpbeam.limit`.
        Failed: the script reported a failure.
        Lost: no answer came: the outcome is unknown and must be read back.
    """
    records = Records(phase.longest)
    beginning = Beginning()
    sent = bytearray()
    complaints = Complaints()
    said_at_most = Allowance(MOST_LOOKED if phase.looks else MOST_DONE, "on standard output")
    ending: dict[str, Any] = {}
    deadline = Deadline(seconds, shell.interrupt)
    count = 0

    def on_stdout(piece: bytes) -> None:
        nonlocal count
        said_at_most.take(len(piece))
        if not beginning.found:
            with contextlib.suppress(Breach):  # `said_at_most` bounds the output already
                beginning(piece)
        for record in records.feed(piece):
            count += 1
            if phase.looks and count > MOST_RECORDS:
                raise Breach(f"sent more than {MOST_RECORDS} records")
            if record != {"begun": True} and not _emit_progress(record, shell.name, emit):
                ending.update(record)

    def chunks() -> Iterator[bytes]:
        check()
        deadline.start()
        sent.extend(render(phase))
        yield bytes(sent)
        for chunk in body:
            if not beginning.found and len(sent) < MOST_ECHOED:
                sent.extend(chunk)
            yield chunk

    try:
        with deadline:
            status = shell.execute(READER, chunks(), on_stdout, complaints)
    except Breach as breach:
        raise _broken(phase, shell, f"{breach}; it was ended", complaints) from None
    except Lost:
        if not deadline.over:
            raise
        status = 0
    if deadline.over and not ending:
        raise _broken(phase, shell, f"did not answer within {seconds:g} s; it was ended", complaints)
    said = complaints.text.splitlines()[-40:]
    # A startup file that sends standard output to standard error does not keep the script from beginning.
    if not (beginning.found or ending or BEGUN.decode() in complaints.text):
        raise not_begun(shell, status, (*beginning.noise(bytes(sent)), *said[-10:]))
    return _conclude(shell, phase, emit, ending, status, said)


def _conclude(shell: Shell, phase: Phase[A], emit: Emit, ending: dict[str, Any], status: int, said: Sequence[str]) -> A:
    """Return the answer that a script ended with. Raises what `run` raises, where the script gave none."""
    for kind, error in (("refused", Refused), ("failed", Failed)):
        if kind in ending:
            complaint = _read(ending[kind], Complaint, shell, phase)
            raise KINDS.get(complaint.kind, error)(
                _kept(complaint.message),
                _kept(complaint.hint),
                tuple(map(_kept, complaint.lines[-LINES:])),
                host=shell.name,
            )
    if "answer" in ending:
        with CONVERTING:
            complaints_about = phase.sift(ending["answer"])
        for complaint in complaints_about:
            emit(Warn(shell.name, complaint))
        answer: A = _read(ending["answer"], phase.answer, shell, phase)
        return answer
    hint = "`fab ENV status` reads back what is running"
    if status == 0 or status >= 128:
        raise Lost(
            f"{script_name(phase)} ended without an answer (status {status})", hint, tuple(said), host=shell.name
        )
    raise Failed(f"{script_name(phase)} failed with status {status}", hint, tuple(said), host=shell.name)


def _read(said: Any, kind: Any, shell: Shell, phase: Phase[Any]) -> Any:
    """Return a host's answer as a value of type `kind`. Raises: Failed, where it does not fit; none of it is used."""
    try:
        # One thread at a time: when two threads are the first to use a type at once, msgspec 0.22 reads memory that it
        # has not written yet, and the process crashes (tests/unit/host/test_phase.py).
        with CONVERTING:
            return msgspec.convert(said, kind)
    except (msgspec.ValidationError, RecursionError) as mismatch:
        raise Failed(
            f"{script_name(phase)} answered what this Warpbeam does not understand: {explained(str(mismatch))}",
            "nothing of it was used; look at what lies on that host, and who may write it; `fab ENV setup` if it was "
            "set up by another version",
            host=shell.name,
        ) from None


def _kept(text: str) -> str:
    """Return `text` cut to `MESSAGE` characters. A NUL, which no script takes as a parameter, becomes a blank."""
    return text.replace("\0", " ") if len(text) <= MESSAGE else text[:MESSAGE].replace("\0", " ") + "…"


def _broken(phase: Phase[Any], shell: Shell, what: str, complaints: Complaints) -> Problem:
    """Return the error for a host that exceeded a bound in time or output."""
    details = tuple(line[:500] for line in complaints.text.splitlines()[-10:])
    if phase.looks:
        hint = "nothing was changed there; `ssh: answer_timeout:` bounds the wait"
        return Refused(f"{script_name(phase)} {what}", hint, details, host=shell.name)
    hint = "what it did there is unknown: `fab ENV status` reads back what is running"
    return Lost(f"{script_name(phase)} {what}", hint, details, host=shell.name)


def _emit_progress(record: dict[str, Any], host: str, emit: Emit) -> bool:
    """Emit a progress record; return False when the record is the script's ending."""
    match record:
        case {"step": str(name)}:
            emit(Step(host, _kept(name)))
        case {"progress": str(name), "done": int(done), "total": int(total)} if 0 <= done <= total <= LARGEST:
            emit(Progress(host, _kept(name), done, total))
        case {"line": str(text)}:
            emit(Line(host, _kept(text)))
        case {"note": str(text)}:
            emit(Note(host, _kept(text)))
        case {"warn": str(text)}:
            emit(Warn(host, _kept(text)))
        case _:
            return False
    return True
