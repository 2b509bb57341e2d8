"""Execution of tasks by `fab`: environment words, -H, plain messages for errors, signals.

`fabric.yaml` names `Executor` under `tasks: executor_class`, so that the stock `fab` uses it. Unlike Fabric's own
executor it runs a task once, with any -H: a task asks its session for the hosts and works on them in parallel.
(Fabric's would run a task whose host list is empty on this machine.)
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from typing import Any

import invoke
from invoke import Call, Exit

from warpbeam.cli.interruption import hush_when_unread, interruptible
from warpbeam.cli.problem_text import full_disk, print_bug, print_errors, print_problem
from warpbeam.cli.session import Session
from warpbeam.error import DONE, FAULT, INTERRUPTED, Misuse, Problem
from warpbeam.event import Note
from warpbeam.visible import visible


class Executor(invoke.Executor):
    """An executor that runs the tasks of one command line in order, with one session."""

    @property
    def _line(self) -> Any:
        """The parsed command line of `fab` itself."""
        return self.core

    def execute(self, *tasks: Any) -> dict[Any, Any]:
        """Run `tasks`, then the command after `--`. Raises: invoke.Exit, with the exit code of the first failure."""
        session: Session | None = None
        _put_logs_behind_a_bar()

        def say(text: str) -> None:
            if session is not None:
                session.emit(Note("", text))

        with interruptible(lambda: session.waits_for if session is not None else {}, say):
            try:
                try:
                    session = self._open_session()
                    return self._perform(session, tasks)
                finally:
                    _flush(session)
                    if session is not None:
                        session.close()
            except Problem as problem:
                print_problem(problem, session.addressed if session is not None else str, debug=self._debug)
                raise Exit(code=problem.code) from None
            except KeyboardInterrupt:
                print_errors("interrupted")
                raise Exit(code=INTERRUPTED) from None
            except BrokenPipeError:
                raise Exit(code=DONE) from None
            except (Exit, invoke.exceptions.UnexpectedExit):
                raise
            except Exception as bug:
                if (full := full_disk(bug)) is not None:
                    print_problem(full, str, debug=self._debug)
                    raise Exit(code=full.code) from None
                print_bug(bug, debug=self._debug)
                raise Exit(code=FAULT) from None
            finally:
                hush_when_unread()
                # At exit Python searches all objects for cycles, several times, which takes a tenth of a second.
                gc.freeze()

    @property
    def _debug(self) -> bool:
        return bool(self._line[0].args.debug.value)

    def _open_session(self) -> Session:
        # Fabric loads the settings of collection and environment before each task; we need them before the first one.
        self.config.load_collection(self.collection.configuration())
        self.config.load_shell_env()
        words = self.collection.tasks.values()
        return Session(
            environments={word.name: word.environment for word in words if hasattr(word, "environment")},
            project=Path(self.config.warpbeam.project),
            only=self._line[0].args.hosts.value,
            default=self.config.environment or "",
            sudo_password=self.config.sudo.password or "",
        )

    def _perform(self, session: Session, tasks: tuple[Any, ...]) -> dict[Any, Any]:
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
        session.begin_task()
        return call.task(context, *call.args, **call.kwargs)


def _flush(session: Session | None) -> None:
    """Remove the live display from the screen, so that the error is the last text there."""
    if session is not None and session._report is not None:
        session._report.close()
    hush_when_unread()


class _Barred(logging.Formatter):
    """A format that marks log lines of libraries (`fab -d`) as another program's: Paramiko logs text of servers."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"  | {visible(line)}" for line in super().format(record).split("\n"))


def _put_logs_behind_a_bar() -> None:
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Barred(invoke.util.LOG_FORMAT))
