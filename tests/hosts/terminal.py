"""`fab` in a real terminal, as a person has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pexpect

from tests.environment import PROJECT, LabEnvironment

PROMPT = r"iex\(hello-[ab]@[0-9.]+\)\d+>"
SOON = 20


@contextlib.contextmanager
def terminal(environment: LabEnvironment, *words: str, rows: int = 30, columns: int = 100) -> Iterator[pexpect.spawn]:
    """`fab ENVIRONMENT WORDS…` in a pseudo-terminal, ended in the end."""
    program, *arguments = environment.argv(*words)
    child = pexpect.spawn(
        program,
        arguments,
        encoding="utf-8",
        timeout=SOON,
        dimensions=(rows, columns),
        cwd=str(PROJECT),
        env={**environment.environ, "TERM": "xterm"},
    )
    try:
        yield child
    finally:
        child.close(force=True)


@contextlib.contextmanager
def console(environment: LabEnvironment, *words: str) -> Iterator[pexpect.spawn]:
    """`fab remote-console` at its first prompt."""
    with terminal(environment, "remote-console", *words) as child:
        child.expect(PROMPT)
        yield child


def ask(child: pexpect.spawn, expression: str, answer: str) -> None:
    """Type an expression and wait for a pattern in what comes back, then for the prompt."""
    child.sendline(expression)
    child.expect(answer)
    child.expect(PROMPT)


def exit_status(child: pexpect.spawn) -> int:
    """Wait for the program's end."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, f"ended by signal {child.signalstatus}"
    return int(child.exitstatus)
