"""The run of a phase on a host: its text is sent, its progress is emitted, its answer is returned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, TypeVar

import msgspec

from warpbeam.bound import MOST_DONE, MOST_LOOKED, MOST_RECORDS, Allowance, Breach, Complaints, Deadline
from warpbeam.error import Damaged, Failed, Held, Lost, Problem, Refused, Unready
from warpbeam.event import Emit, Warn
from warpbeam.host.answer import LINES, explained
from warpbeam.host.login_output import BEGUN, MOST_ECHOED, Beginning, not_begun
from warpbeam.host.phase import Phase, script_name
from warpbeam.host.record import Records, bounded, emit_progress
from warpbeam.host.script import READER, render
from warpbeam.shell import Shell

A = TypeVar("A")

CONVERTING = Lock()
# Error classes for the `kind` of a script's refusal or failure (`warpbeam/host/common.sh`).
KINDS = {"held": Held, "damaged": Damaged, "unready": Unready}


class Complaint(msgspec.Struct, frozen=True):
    """A script's refusal or failure. A text that is too long is cut, not refused: it is only shown."""

    message: str
    hint: str = ""
    lines: tuple[str, ...] = ()
    kind: str = ""


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
            answer in time, or exceeded a bound of `warpbeam.bound`.
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
            if record != {"begun": True} and not emit_progress(record, shell.name, emit):
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
                bounded(complaint.message),
                bounded(complaint.hint),
                tuple(map(bounded, complaint.lines[-LINES:])),
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


def _broken(phase: Phase[Any], shell: Shell, what: str, complaints: Complaints) -> Problem:
    """Return the error for a host that exceeded a bound in time or output."""
    details = tuple(line[:500] for line in complaints.text.splitlines()[-10:])
    if phase.looks:
        hint = "nothing was changed there; `ssh: answer_timeout:` bounds the wait"
        return Refused(f"{script_name(phase)} {what}", hint, details, host=shell.name)
    hint = "what it did there is unknown: `fab ENV status` reads back what is running"
    return Lost(f"{script_name(phase)} {what}", hint, details, host=shell.name)
