"""How `fab` runs our tasks: environment words, -H, one plain line for an error, signals.

`fabric.yaml` names `Executor` under `tasks: executor_class`, so that the stock `fab` uses it. Unlike
Fabric's own it runs a task once, whatever -H says: a task asks its session for the hosts and works on them in
parallel. (Fabric's would run a task whose host list is empty on this machine.)
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import invoke
from invoke import Call, Exit

from warpbeam.cli.session import Session
from warpbeam.error import Misuse, Problem

INTERRUPTED = 130


class Interrupted(KeyboardInterrupt):
    """TERM or HUP, taken as Ctrl-C is."""


class Executor(invoke.Executor):
    """Runs the tasks of one command line in order, over one session."""

    @property
    def _line(self) -> Any:
        """What `fab` parsed of its own command line."""
        return self.core

    def execute(self, *tasks: Any) -> dict[Any, Any]:
        """Run `tasks` and what follows `--`; raises `invoke.Exit` with the exit code of the first failure."""
        debug = bool(self._line[0].args.debug.value)
        with _signals_as_interrupt():
            session: Session | None = None
            try:
                session = self._open_session()
                return self._run(session, tasks)
            except Problem as problem:
                _flush(session)
                _print_problem(problem, debug)
                raise Exit(code=problem.code) from None
            except KeyboardInterrupt:
                _flush(session)
                print("interrupted", file=sys.stderr)
                raise Exit(code=INTERRUPTED) from None
            except BrokenPipeError:
                raise Exit(code=0) from None
            except (Exit, invoke.exceptions.UnexpectedExit):
                raise
            except Exception as bug:
                _flush(session)
                _print_bug(bug, debug)
                raise Exit(code=1) from None
            finally:
                if session is not None:
                    session.close()
                _drop_what_nobody_reads()

    def _open_session(self) -> Session:
        # Fabric loads collection and environment settings only just before each task; we need them before the first.
        self.config.load_collection(self.collection.configuration())
        self.config.load_shell_env()
        hosts = self._line[0].args.hosts.value or ""
        words = self.collection.tasks.values()
        return Session(
            environments={word.name: word.environment for word in words if hasattr(word, "environment")},
            project=Path(self.config.warpbeam.project),
            only=frozenset(filter(None, hosts.split(","))),
            default=self.config.environment or "",
            sudo_password=self.config.sudo.password or "",
        )

    def _run(self, session: Session, tasks: tuple[Any, ...]) -> dict[Any, Any]:
        results: dict[Any, Any] = {}
        dangling = ""
        if self.config.run.dry:
            raise Misuse("--dry would still connect and change things", "`fab ENV plan` shows what a deploy would do")
        for call in self.expand_calls(self.normalize(tasks)):
            environment = getattr(call.task, "environment", None)
            if environment is not None:
                session.chosen = dangling = call.task.name
                continue
            dangling = ""
            results[call.task] = self._call(session, call)
        if self._line.remainder:
            from warpbeam.cli.command import run_command

            run_command(session.fleet, self._line.remainder, session.report)
        elif dangling:
            raise Misuse(
                f"`fab {dangling}` chooses an environment but names no task",
                f"try `fab {dangling} status`; `fab --list` shows every task",
            )
        return results

    def _call(self, session: Session, call: Call) -> Any:
        self.config.load_collection(self.collection.configuration(call.called_as))
        context = call.make_context(self.config)
        context._set(session=session)
        return call.task(context, *call.args, **call.kwargs)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(signum).name)

    # `nohup fab …` asked for HUP to be ignored.
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _flush(session: Session | None) -> None:
    """Take the live display off the screen, so that the error is the last thing on it."""
    if session is not None and session._report is not None:
        session._report.close()
    _drop_what_nobody_reads()


def _drop_what_nobody_reads() -> None:
    """Flush standard output; where its reader is gone (`| head`), keep Python from saying so again at its end.

    As the documentation of Python's signal module has it (Note on SIGPIPE).
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_problem(problem: Problem, debug: bool) -> None:
    if debug:
        traceback.print_exception(problem)
    for line in problem.details:
        print(f"  | {line}", file=sys.stderr)
    print(f"error: {problem.message}", file=sys.stderr)
    if problem.hint:
        print(f"  hint: {problem.hint}", file=sys.stderr)


def _print_bug(bug: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(bug)
    # An exception's text may hold a command or a value; its type and place do not.
    place = traceback.extract_tb(bug.__traceback__)[-1]
    print(
        f"error: a fault in Warpbeam itself: {type(bug).__name__} at {place.filename}:{place.lineno}",
        file=sys.stderr,
    )
    print("  hint: `fab -d` shows the traceback; it may hold values of your configuration", file=sys.stderr)
