"""Work on many hosts at once: how many of them, and one interrupt for all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread, local
from time import monotonic
from typing import TypeVar

from warpbeam.error import Problem
from warpbeam.inventory.schema import Host
from warpbeam.shell import GRACE

T = TypeVar("T")

# Of a thread that works for one host: whether that work was interrupted.
_working = local()


def everywhere(
    hosts: Sequence[Host],
    work: Callable[[Host], T],
    *,
    jobs: int,
    interrupt: Callable[[], None],
) -> dict[str, T | Problem]:
    """Do `work` for each host in a thread of its own, `jobs` at a time.

    On an interrupt `interrupt` ends what they run, and they have `GRACE` seconds and a little to say how it ended. The
    threads are daemons, not a ThreadPoolExecutor's: Python would wait at its end for one that never comes back.
    """

    def one(host: Host) -> T | Problem:
        try:
            return work(host)
        except Problem as problem:
            return problem

    if len(hosts) == 1:
        return {hosts[0].name: one(hosts[0])}
    todo: SimpleQueue[Host] = SimpleQueue()
    done: SimpleQueue[tuple[str, T | Problem | BaseException]] = SimpleQueue()
    stopped = Event()

    def worker() -> None:
        _working.stopped = stopped
        while True:
            try:
                host = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((host.name, one(host)))
            except BaseException as error:  # it goes on in the calling thread
                done.put((host.name, error))

    for host in hosts:
        todo.put(host)
    ended: dict[str, T | Problem | BaseException] = {}
    try:
        # The first may be at work before the last is begun, so an interrupt is heeded from here.
        for number in range(min(jobs, len(hosts))):
            Thread(target=worker, name=f"host-{number}", daemon=True).start()
        while len(ended) < len(hosts):
            # Bounded, because a wait without a time-out may keep the main thread from handling a signal.
            with suppress(Empty):
                name, result = done.get(timeout=0.5)
                ended[name] = result
    except KeyboardInterrupt:
        begun = len(hosts) - _emptied(todo) - len(ended)
        stopped.set()
        interrupt()
        _gather(done, begun, GRACE)
        raise
    results: dict[str, T | Problem] = {}
    for host in hosts:
        result = ended[host.name]
        if isinstance(result, BaseException) and not isinstance(result, Problem):
            raise result
        results[host.name] = result
    return results


def interruption() -> Callable[[], None]:
    """What raises KeyboardInterrupt, in whichever thread it is called, once the work of this one was interrupted."""
    stopped: Event | None = getattr(_working, "stopped", None)

    def check() -> None:
        if stopped is not None and stopped.is_set():
            raise KeyboardInterrupt

    return check


@contextmanager
def after_all() -> Iterator[None]:
    """What is done here is done though the work that it belongs to was interrupted: it puts something in order."""
    stopped = getattr(_working, "stopped", None)
    _working.stopped = None
    try:
        yield
    finally:
        _working.stopped = stopped


def _emptied(todo: SimpleQueue[Host]) -> int:
    """How many had not been begun, and will not be."""
    count = 0
    with suppress(Empty):
        while True:
            todo.get_nowait()
            count += 1
    return count


def _gather(done: SimpleQueue[tuple[str, T]], count: int, seconds: float) -> None:
    """Wait until so many more have ended, or the time has."""
    end = monotonic() + seconds
    with suppress(Empty):
        for _ in range(count):
            done.get(timeout=max(end - monotonic(), 0))


def gravest_problem(results: dict[str, T | Problem]) -> Problem | None:
    """Return the problem with the highest exit code, of several such the first host's; None where no host has one."""
    problems = [result for result in results.values() if isinstance(result, Problem)]
    return max(problems, key=lambda problem: problem.code, default=None)
