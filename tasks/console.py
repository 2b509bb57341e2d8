"""The running node: console, rpc and eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Exit, task

if TYPE_CHECKING:
    from warpbeam.cli.session import Session
    from warpbeam.inventory.schema import Host

# The options of a question to a node.
HELP = {
    "expression": "an Elixir expression; `-` reads it from standard input",
    "host": "the hosts to ask: `web1,@GROUP`, also `web*` and `!web1` (default: the first app host)",
    "all": "ask every app host, all at once",
}


@task(
    auto_shortflags=False,
    help={"host": "the host whose node it is (default: the first app host)"},
)
def remote_console(c: Any, host: str | None = None) -> None:
    """Open IEx on the running node, as the app user; ends the chain of tasks."""
    import os
    import sys

    from warpbeam.cli.session import session
    from warpbeam.error import DONE, Unreachable
    from warpbeam.fleet.selection import one_host
    from warpbeam.operate.console import console_argv, piped_expression
    from warpbeam.operate.evaluate import with_other_host

    here = session(c)
    there = one_host(here.inventory, host)
    if not sys.stdin.isatty():
        _ask(here, "rpc", piped_expression(sys.stdin.buffer), host, [there])
        raise Exit(code=DONE)
    try:
        argv = console_argv(here.fleet, there)
    except Unreachable as away:
        raise (away if host is not None else with_other_host(away, here.inventory, [there])) from None
    _say_where(here, there)
    here.close()
    sys.stdout.flush()
    # OpenSSH replaces this process, so nothing of ours is between keyboard and node, and its exit status is ours.
    os.execvp(argv[0], argv)  # noqa: S606 (no shell; an argument list made by openssh_argv)


@task(
    auto_shortflags=False,
    positional=["expression"],
    help=HELP,
)
def rpc(c: Any, expression: str, host: str | None = None, all: bool = False) -> None:
    """Evaluate an Elixir expression on the running node, and print its value."""
    _evaluate(c, "rpc", expression, host, everyone=all)


@task(
    name="eval",
    auto_shortflags=False,
    positional=["expression"],
    help=HELP,
)
def evaluate(c: Any, expression: str, host: str | None = None, all: bool = False) -> None:
    """Evaluate an Elixir expression in a VM of its own, with the service's environment, and print its value."""
    _evaluate(c, "eval", expression, host, everyone=all)


def _evaluate(c: Any, verb: str, expression: str, host: str | None, *, everyone: bool) -> None:
    import sys

    from warpbeam.cli.session import session
    from warpbeam.operate import evaluate as asking

    here = session(c)
    hosts = asking.hosts_to_ask(here.inventory, host, everyone=everyone)
    several = everyone or len(hosts) > 1
    if not several:
        _say_where(here, *hosts)
    _ask(here, verb, asking.read_expression(expression, sys.stdin.buffer), host, hosts, everyone=several)


def _ask(here: Session, verb: str, text: str, host: str | None, hosts: list[Host], *, everyone: bool = False) -> None:
    """Evaluate `text` on `hosts` and show what they print; `host` is what was chosen, if anything."""
    from warpbeam.error import Unreachable
    from warpbeam.operate import evaluate as asking

    on_stdout = here.report.output(prefixed=everyone)
    on_stderr = here.report.output(prefixed=everyone, error=True)
    try:
        asking.evaluate(here.fleet, hosts, verb, text, on_stdout, on_stderr)
    except Unreachable as away:
        if host is not None:
            raise
        raise asking.with_other_host(away, here.inventory, hosts) from None


def _say_where(here: Session, host: Host) -> None:
    """Print the host's name on a terminal, where the environment has several app hosts."""
    import sys

    from warpbeam.event import Note

    if sys.stderr.isatty() and len(here.fleet.inventory.app_hosts) > 1:
        here.emit(Note("", f"on {host.name}"))


TASKS = (remote_console, rpc, evaluate)
