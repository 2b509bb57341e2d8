"""Elixir expressions, evaluated on running nodes (`rpc`) or in VMs of their own (`eval`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import BinaryIO

from warpbeam.error import Failed, Misuse, Problem, Unreachable, addressed
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import chosen_hosts
from warpbeam.fleet.work import gravest_problem
from warpbeam.helper.program import MOST_EXPRESSION
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.operate.backtrace import Backtrace
from warpbeam.operate.converse import call_helper
from warpbeam.provision.check_owner import check_owner


def read_expression(word: str, stdin: BinaryIO, *, blank: bool = False) -> str:
    """Return the expression: `word`, or what `stdin` has if `word` is `-`; with `blank` it may be empty.

    Raises: Misuse, where `stdin` has more than the privileged helper takes, or no text; where there is no expression.
    """
    text = _read(stdin) if word == "-" else word
    if not blank and not text.strip():
        # Elixir reads an empty input as an atom, and says so in a CompileError.
        where = "on standard input" if word == "-" else "on the command line"
        raise Misuse(f"there is no expression {where}", "`fab ENV rpc 'node()'`, or `rpc -` with one on standard input")
    return text


def _read(stdin: BinaryIO) -> str:
    # One byte more shows that there is more, without a wait for an input that never ends.
    given = stdin.read(MOST_EXPRESSION + 1)
    if len(given) > MOST_EXPRESSION:
        raise Misuse(
            f"expected an expression of at most {MOST_EXPRESSION} bytes on standard input, and there is more",
            "put the data where the app can read it, and have the expression read it there",
        )
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        raise Misuse(f"expected UTF-8 on standard input, found something else at byte {error.start}") from None


def hosts_to_ask(inventory: Inventory, chosen: str | None, *, everyone: bool) -> list[Host]:
    """Return all app hosts for `everyone`, else those that `chosen` chooses, or the first for None.

    Raises: Misuse, where both are given, or no app host is chosen.
    """
    if everyone and chosen is not None:
        raise Misuse("--host and --all say two different things", "give one of them")
    return inventory.some_app_hosts() if everyone else chosen_hosts(inventory, chosen)


def evaluate(
    fleet: Fleet,
    hosts: Sequence[Host],
    verb: str,
    expression: str,
    on_stdout: Callable[[str, bytes], None],
    on_stderr: Callable[[str, bytes], None],
) -> None:
    """Evaluate an expression by `rpc` or `eval` on each host, at once, and pass on what each prints as it comes.

    A node that hangs delays the end of the command, but not the output of the other hosts.

    Raises:
        Refused: the app on a host belongs to another environment; nothing was evaluated there.
        Failed: the expression raised on a host, or the node is not there; `code` is the highest exit status of a host.
    """

    def one(host: Host) -> None:
        out, err = functools.partial(on_stdout, host.name), functools.partial(on_stderr, host.name)
        _evaluate_on(fleet, host, verb, expression, out, err)

    results = fleet.everywhere(hosts, one)
    gravest = gravest_problem(results)
    if gravest is not None:
        others = (result for result in results.values() if isinstance(result, Problem) and result is not gravest)
        gravest.details = (*gravest.details, *(other.message for other in others))
        raise gravest


def _evaluate_on(
    fleet: Fleet,
    host: Host,
    verb: str,
    expression: str,
    on_stdout: Callable[[bytes], None],
    on_stderr: Callable[[bytes], None],
) -> None:
    check_owner(fleet, host)
    errors = Backtrace(lambda line: on_stderr(addressed_bytes(line, fleet.inventory.name)))
    status = call_helper(fleet, host, verb, expression, on_stdout, errors)
    errors.end()
    if status != 0:
        failed = Failed(f"{verb} ended with status {status}", "what it said is above", host=host.name)
        failed.code = status
        raise failed


def addressed_bytes(line: bytes, environment: str) -> bytes:
    """Return a line of a host with the environment's name put in, and every other byte unchanged."""
    return addressed(line.decode("utf-8", "surrogateescape"), environment).encode("utf-8", "surrogateescape")


def with_other_host(away: Unreachable, inventory: Inventory, asked: Sequence[Host]) -> Unreachable:
    """Return the problem of an asked host with a hint at one that was not asked, if there is any."""
    others = [host.name for host in inventory.some_app_hosts() if host not in asked]
    if not others or away.host not in {host.name for host in asked}:
        return away
    return away.hinted(f"`--host {others[0]}` asks another host")
