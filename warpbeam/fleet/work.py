"""Work on many hosts at once, in a bounded number of threads, with one interrupt for all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread, local
from time import monotonic
from typing import TypeVar

from warpbeam.error import Problem
from warpbeam.inventory.schema import Host
from warpbeam.shell import GRACE

T = TypeVar("T")

# In a thread that works for one host, `stopped` is set once its work was interrupted.
_working = local()


def everywhere(
    hosts: Sequence[Host],
    work: Callable[[Host], T],
    *,
    jobs: int,
    interrupt: Callable[[], None],
) -> dict[str, T | Problem]:
    """Do `work` for all hosts, `jobs` at a time; return its value or the Problem it raised, by host name, in order.

    On an interrupt `interrupt` ends the running commands, and the threads have `GRACE` seconds to report how that
    ended. Daemon threads, not a ThreadPoolExecutor: Python would wait at its exit for a thread that never returns.
    """
    if len(hosts) == 1:
        return {hosts[0].name: _result(work, hosts[0])}
    todo: SimpleQueue[Host] = SimpleQueue()
    done: SimpleQueue[tuple[str, T | Problem | BaseException]] = SimpleQueue()
    stopped = Event()
    for host in hosts:
        todo.put(host)
    ended: dict[str, T | Problem | BaseException] = {}
    try:
        # Threads work before the last one is started, so interrupts must be handled from here on.
        for number in range(min(jobs, len(hosts))):
            Thread(target=_worker, args=(work, todo, done, stopped), name=f"host-{number}", daemon=True).start()
        while len(ended) < len(hosts):
            # A wait without a time-out may keep the main thread from handling a signal.
            with suppress(Empty):
                name, result = done.get(timeout=0.5)
                ended[name] = result
    except KeyboardInterrupt:
        begun = len(hosts) - _emptied(todo) - len(ended)
        stopped.set()
        interrupt()
        _gather(done, begun, GRACE)
        raise
    return _in_order(hosts, ended)


def _result(work: Callable[[Host], T], host: Host) -> T | Problem:
    """Return the value of `work` for a host, or the Problem that it raised."""
    try:
        return work(host)
    except Problem as problem:
        return problem


def _worker(
    work: Callable[[Host], T],
    todo: SimpleQueue[Host],
    done: SimpleQueue[tuple[str, T | Problem | BaseException]],
    stopped: Event,
) -> None:
    """Do `work` in this thread for host after host of `todo`, until it is empty; put each result into `done`."""
    _working.stopped = stopped
    while True:
        try:
            host = todo.get_nowait()
        except Empty:
            return
        try:
            done.put((host.name, _result(work, host)))
        except BaseException as error:  # raised again in the calling thread
            done.put((host.name, error))


def _in_order(hosts: Sequence[Host], ended: Mapping[str, T | Problem | BaseException]) -> dict[str, T | Problem]:
    """Return the results in the order of `hosts`. Raises: the first error that is no Problem."""
    results: dict[str, T | Problem] = {}
    for host in hosts:
        result = ended[host.name]
        if isinstance(result, BaseException) and not isinstance(result, Problem):
            raise result
        results[host.name] = result
    return results


def interruption() -> Callable[[], None]:
    """Return a check, for any thread, that raises KeyboardInterrupt once this thread's work was interrupted."""
    stopped: Event | None = getattr(_working, "stopped", None)

    def check() -> None:
        if stopped is not None and stopped.is_set():
            raise KeyboardInterrupt

    return check


@contextmanager
def after_all() -> Iterator[None]:
    """Run the context's body although its work was interrupted, because it cleans up."""
    stopped = getattr(_working, "stopped", None)
    _working.stopped = None
    try:
        yield
    finally:
        _working.stopped = stopped


def _emptied(todo: SimpleQueue[Host]) -> int:
    """Empty `todo`, so that no further host is begun; return how many hosts were in it."""
    count = 0
    with suppress(Empty):
        while True:
            todo.get_nowait()
            count += 1
    return count


def _gather(done: SimpleQueue[tuple[str, T]], count: int, seconds: float) -> None:
    """Wait until `count` more hosts are done, for at most `seconds`."""
    end = monotonic() + seconds
    with suppress(Empty):
        for _ in range(count):
            done.get(timeout=max(end - monotonic(), 0))


def gravest_problem(results: Mapping[str, object]) -> Problem | None:
    """Return the problem with the highest exit code, the first host's of several; None where no host has one."""
    problems = [result for result in results.values() if isinstance(result, Problem)]
    return max(problems, key=lambda problem: problem.code, default=None)


def raise_gravest(results: Mapping[str, object]) -> None:
    """Raise the gravest problem of any host, if there is one."""
    problem = gravest_problem(results)
    if problem is not None:
        raise problem
