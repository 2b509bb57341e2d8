"""The running app: restart, stop, start, status, logs, console, rpc and eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Exit, task

from . import rolling
from .short_flags import ShortFlags

if TYPE_CHECKING:
    from warpbeam.cli.session import Session
    from warpbeam.inventory.schema import Host


@task(auto_shortflags=False, iterable=["skip"], help={"force": rolling.FORCE, **rolling.HELP})
def restart(
    c: Any,
    force: bool = False,
    batch: str = "",
    pause: str = "",
    on_failure: str = "",
    skip: Any = None,
    skip_unreachable: bool = False,
    wait: str = "",
    jobs: str = "",
) -> None:
    """Restart the live release as a new instance on every host, host after host."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.rollback import restart as restart_everywhere
    from warpbeam.deploy.target import store_of

    here = session(c)
    here.fleet.set_jobs(jobs)
    policy = rolling.policy_of(here.fleet, batch, pause, on_failure)
    with rolling.explained(here, here.fleet):
        selection, store = (
            rolling.selection_of(skip, skip_unreachable, wait),
            store_of(here.fleet, here.project),
        )
        restart_everywhere(here.fleet, selection, policy, here.emit, store=store, force=force)


@task(auto_shortflags=False)
def stop(c: Any) -> None:
    """Stop the app, host after host; a reboot or `start` brings it back."""
    from warpbeam.cli.session import session
    from warpbeam.operate.power import stop_app

    here = session(c)
    stop_app(here.fleet, here.emit)


@task(auto_shortflags=False, help={"force": rolling.FORCE})
def start(c: Any, force: bool = False) -> None:
    """Start the live release, host after host, and wait until it is healthy."""
    from warpbeam.cli.session import session
    from warpbeam.operate.power import start_app

    here = session(c)
    start_app(here.fleet, here.emit, force=force)


@task(auto_shortflags=False, help={"json": "print JSON on standard output", "jobs": rolling.JOBS})
def status(c: Any, json: bool = False, jobs: str = "") -> None:
    """Show what is running: release, slot, pid, since when, memory, restarts, health."""
    from warpbeam.cli.session import session
    from warpbeam.event import Warn
    from warpbeam.operate.status import differing, judged, states
    from warpbeam.operate.status_rows import status_rows

    here = session(c)
    here.fleet.set_jobs(jobs)
    with here.report.asking():
        found = states(here.fleet, here.emit)
    here.report.table(status_rows(here.fleet.inventory, found), as_json=json)
    if text := differing(found):
        here.emit(Warn("", text))
    if code := judged(found):
        raise Exit(code=code)


@task(
    auto_shortflags=False,
    help={"host": "the host whose node it is (default: the first app host)"},
)
def remote_console(c: Any, host: str = "") -> None:
    """Open IEx on the running node, as the app user; ends the chain of tasks."""
    import os
    import sys

    from warpbeam.cli.session import session
    from warpbeam.fleet.selection import one_host
    from warpbeam.operate.console import console_argv

    here = session(c)
    there = one_host(here.inventory, host)
    argv = console_argv(here.fleet, there)
    _say_where(here, there)
    here.close()
    sys.stdout.flush()
    # OpenSSH replaces this process, so nothing of ours is between keyboard and node, and its exit status is ours.
    os.execvp(argv[0], argv)  # noqa: S606 (no shell; an argument list made by openssh_argv)


@task(
    auto_shortflags=False,
    positional=["expression"],
    help={
        "expression": "an Elixir expression; `-` reads it from standard input",
        "host": "the host to ask (default: the first app host)",
        "all": "ask every app host, all at once",
    },
)
def rpc(c: Any, expression: str, host: str = "", all: bool = False) -> None:
    """Evaluate an Elixir expression on the running node, and print its value."""
    _evaluate(c, "rpc", expression, host, everyone=all)


@task(
    name="eval",
    auto_shortflags=False,
    positional=["expression"],
    help={
        "expression": "an Elixir expression; `-` reads it from standard input",
        "host": "the host to ask (default: the first app host)",
        "all": "ask every app host, all at once",
    },
)
def evaluate(c: Any, expression: str, host: str = "", all: bool = False) -> None:
    """Evaluate an Elixir expression in a VM of its own, with the service's environment, and print its value."""
    _evaluate(c, "eval", expression, host, everyone=all)


def _evaluate(c: Any, verb: str, expression: str, host: str, *, everyone: bool) -> None:
    import sys

    from warpbeam.cli.session import session
    from warpbeam.error import Unreachable
    from warpbeam.operate import expression as asking

    here = session(c)
    hosts = asking.hosts_to_ask(here.inventory, host, everyone=everyone)
    if not everyone:
        _say_where(here, *hosts)
    text = asking.read_expression(expression, sys.stdin.buffer)
    on_stdout = here.report.output(prefixed=everyone)
    on_stderr = here.report.output(prefixed=everyone, error=True)
    try:
        asking.evaluate(here.fleet, hosts, verb, text, on_stdout, on_stderr)
    except Unreachable as away:
        if host:
            raise
        raise asking.with_other_host(away, here.inventory, hosts) from None


def _say_where(here: Session, host: Host) -> None:
    """Print the host's name on a terminal, where the environment has several app hosts."""
    import sys

    from warpbeam.event import Note

    if sys.stderr.isatty() and len(here.fleet.inventory.app_hosts) > 1:
        here.emit(Note("", f"on {host.name}"))


@task(
    klass=ShortFlags,
    short={"follow": "f", "lines": "n"},
    help={
        "follow": "go on showing new lines, until Ctrl-C",
        "lines": "how many of the last lines of each host (default 100, with --since all)",
        "since": "only lines since then, as journalctl takes it: `10 min ago`, `2026-11-23 12:00`",
        "grep": "only lines that match this pattern (PCRE)",
        "slot": "only this slot's, a or b",
    },
)
def logs(c: Any, follow: bool = False, lines: str = "", since: str = "", grep: str = "", slot: str = "") -> None:
    """Show the app's journal of every host, each line with its host."""
    from warpbeam.cli.session import session
    from warpbeam.error import INTERRUPTED
    from warpbeam.operate.logs import parse_query, show_logs

    here = session(c)
    query = parse_query(lines=lines, since=since, grep=grep, slot=slot, follow=follow)
    width = max((len(host.name) for host in here.inventory.app_hosts), default=0)
    try:
        show_logs(here.fleet, query, here.report.output(prefixed=True, width=width, exact=False), here.emit)
    except KeyboardInterrupt:
        if not follow:
            raise
        # Ctrl-C is the usual end of `--follow`, so print no message.
        raise Exit(code=INTERRUPTED) from None


TASKS = (restart, stop, start, status, remote_console, rpc, evaluate, logs)
