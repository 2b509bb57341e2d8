"""A phase: a part of a task that runs on a host as one script in one exec request.

A phase's fields are its script's parameters. What is sent on standard input of the constant command `READER` is a
line that reads the rest, then the parameters as assignments, the shared parts (`host/common.sh` first), the script,
which lies beside the module of its phase, and, where the phase has one, its body. So no value, secret or not, is ever
in an argument list.

Standard output carries records (RFC 7464: RS, JSON, LF); whatever else a host prints there (a chatty .bashrc)
is passed over. Progress records come first, the answer last.
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

# Where the scripts are: each beside the module of its phase, what several share in `host/` and `deploy/`.
PACKAGE = Path(__file__).parents[1]
RECORD_START = b"\x1e"
CONVERTING = Lock()
# A line that is nothing else: no script has a text in which one could stand (tests/unit/test_scripts.py).
COMMENT = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)

# How the text of a phase ends.
END = "exit; }"

A = TypeVar("A")

# The command. It takes no startup file of bash's own, and runs nothing but what came whole from its first line on: the
# login's startup files come before it, and may take of what was sent, or send what it says elsewhere. It holds nothing
# that another login shell than bash would not pass on: no quote but these, no backslash, no exclamation mark.
READER = (
    """bash --norc -p -c 'LC_ALL=C; unset BASH_ENV ENV TMOUT; IFS= read -r REPLY;"""
    """ case $REPLY in "LC_ALL=C; IFS= read -rN "*"; exit 96") ;; *) exit 96 ;; esac;"""
    """ if [ -p /dev/fd/1 ] || [ -S /dev/fd/1 ]; then eval "$REPLY"; fi; exit 95'"""
)
# What a script's refusal or failure is besides (`warpbeam/host/common.sh`).
KINDS = {"held": Held, "damaged": Damaged}


class Complaint(msgspec.Struct, frozen=True):
    """What a script says of its refusal or failure. A text that is too long is cut, not refused: it is only shown."""

    message: str
    hint: str = ""
    lines: tuple[str, ...] = ()
    kind: str = ""


class Phase(msgspec.Struct, Generic[A], frozen=True):
    """The parameters of one script. Subclasses name the script and the type of its answer.

    Strings, numbers and booleans become plain assignments (`true` and `false` for booleans, an empty string for
    None), tuples become arrays. Every script reads them under the names of the fields.
    """

    script: ClassVar[str]
    answer: ClassVar[Any]
    # What is sent before the script: files that several scripts share.
    parts: ClassVar[tuple[str, ...]] = ("host/common",)

    @staticmethod
    def sift(said: Any) -> list[str]:
        """Take out of an answer what may be wrong without keeping anybody from the host; a sentence about each."""
        return []

    # Bytes of the answer, or of any other record.
    longest: ClassVar[int] = LONGEST_RECORD

    @property
    def looks(self) -> bool:
        """Whether it changes nothing, so that it has a bound in time, and may be asked again."""
        return False

    @property
    def more_seconds(self) -> float | None:
        """Seconds that it may take beyond those in which a host must answer; None: it has a bound only if it looks."""
        return None


def script_name(phase: Phase[Any]) -> str:
    """Return what messages call the phase: the name of its script, such as `claim`."""
    return phase.script.rpartition("/")[2].replace("_", " ")


def text_of(phase: Phase[Any], *, comments: bool = False) -> str:
    """One command for bash. Without its `comments` it is a third shorter, and a host reads it several times."""
    lines = [_assignment(field, getattr(phase, field)) for field in phase.__struct_fields__]
    sources = [_source(name, comments) for name in (*phase.parts, phase.script)]
    # All of it is one group, so that bash has read the whole before it runs any: a text that is cut in the middle runs
    # nothing, and a file that is written over goes on as it was. (A function would be copied, at as much cost again.)
    return "\n".join(["{", *lines, *sources, END])


def render(phase: Phase[Any]) -> bytes:
    """What is sent to a host's bash, without a body.

    A bash reads commands from a pipe a byte at a time, so as not to take what is meant for them: 20 ms of the
    processor for a script. So all but the first line is read by its `read -N`, which takes them in a few pieces, and
    takes no more; in the locale C it counts bytes. It runs only with its end. What the script leaves of a body is no
    command, and where the first line is lost, or another shell reads it (`exec dash` in a startup file), no more is.
    """
    text = b"""[ "${REPLY+read}" ] || exit 97
printf '\\036{"begun":true}\\n'
%s""" % text_of(phase).encode()
    first = b'LC_ALL=C; IFS= read -rN %d REPLY; case $REPLY in *"%s") eval "$REPLY" ;; esac; exit 96'
    return first % (len(text), END.encode()) + b"\n" + text


@cache
def _source(name: str, comments: bool) -> str:
    """A script's text, less its first line (the shebang that makes it a file a person can run)."""
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
    """Takes standard output in pieces and gives the records in it."""

    def __init__(self, longest: int = LONGEST_RECORD) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The records that `piece` completes. Raises: Breach, when one is longer than it may be."""
        if not self._rest and RECORD_START not in piece:
            return  # chatter, however long
        # What came before is not looked through again: a line that comes in a million pieces costs no more than one.
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        if self._rest or RECORD_START in rest:
            self._rest += rest
        if len(self._rest) > self._longest:
            # What stands before the last beginning is no record.
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
    """Run `phase` on the host of `shell`, telling its steps, and return its answer.

    Parameters:
        check: called when an interrupt can reach the command, before the script is sent; what it raises stops that.
        seconds: within which it must have answered, from when it is sent; None: it takes as long as it takes.

    Raises:
        Refused: the script found a precondition that does not hold; it changed nothing. Or it only looks, and did not
            answer in time, or said more than is taken.
        Failed: the script failed and said so.
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
            with contextlib.suppress(Breach):  # what a phase may say is bounded above
                beginning(piece)
        for record in records.feed(piece):
            count += 1
            if phase.looks and count > MOST_RECORDS:
                raise Breach(f"sent more than {MOST_RECORDS} records")
            if record != {"begun": True} and not _told(record, shell.name, emit):
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
    # Where what it says goes elsewhere, it has begun all the same.
    if not (beginning.found or ending or BEGUN.decode() in complaints.text):
        raise not_begun(shell, status, (*beginning.noise(bytes(sent)), *said[-10:]))
    return _conclude(shell, phase, emit, ending, status, said)


def _conclude(shell: Shell, phase: Phase[A], emit: Emit, ending: dict[str, Any], status: int, said: Sequence[str]) -> A:
    """The answer that a script ended with. Raises: as `run`, where it gave none."""
    for kind, error in (("refused", Refused), ("failed", Failed)):
        if kind in ending:
            told = _read(ending[kind], Complaint, shell, phase)
            raise KINDS.get(told.kind, error)(
                _kept(told.message), _kept(told.hint), tuple(map(_kept, told.lines[-LINES:])), host=shell.name
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
    """What a host said, as a value of type `kind`. Raises: Failed, where it is none; nothing of it is used then."""
    try:
        # One at a time: of a type that two threads are the first to use at once, msgspec 0.22 reads what it has not
        # written yet, and the process is gone (tests/unit/test_phase.py).
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
    """`text` as far as it is kept. A NUL, which no script of ours can say, could not be given to another one."""
    return text.replace("\0", " ") if len(text) <= MESSAGE else text[:MESSAGE].replace("\0", " ") + "…"


def _broken(phase: Phase[Any], shell: Shell, what: str, complaints: Complaints) -> Problem:
    """The error for a host that does not keep within bounds."""
    details = tuple(line[:500] for line in complaints.text.splitlines()[-10:])
    if phase.looks:
        hint = "nothing was changed there; `ssh: answer_timeout:` bounds the wait"
        return Refused(f"{script_name(phase)} {what}", hint, details, host=shell.name)
    hint = "what it did there is unknown: `fab ENV status` reads back what is running"
    return Lost(f"{script_name(phase)} {what}", hint, details, host=shell.name)


def _told(record: dict[str, Any], host: str, emit: Emit) -> bool:
    """Tell a progress record; false when the record is the script's ending."""
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
