"""Counters for the results of requests."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

# All kinds of failed requests; none is forgiven.
Kind = Literal["refused", "reset", "eof", "short body", "status", "late", "malformed", "unreachable"]

EXAMPLES = 20

K = TypeVar("K")


class Counters(msgspec.Struct):
    """The results of one client, or of several together.

    `answered` counts good answers by the slot that gave them ("stream" for those that do not tell), `instances` are
    process ids in the order in which they were first heard of. `spanning` counts, by the new instance's process id, the
    connections that had an answer before its first and got another from the instance before it afterwards. `handed`
    are kept connections that ended with `Connection: close`, `idle` those that the server closed while nothing was
    asked. `long` counts good answers that took their time. `micros` are the latencies of quick requests in
    microseconds, by what went on meanwhile.
    """

    answered: dict[str, int] = {}
    failed: dict[str, int] = {}
    examples: list[str] = []
    instances: list[int] = []
    spanning: dict[int, int] = {}
    long: dict[str, int] = {}
    connections: int = 0
    handed: int = 0
    idle: int = 0
    micros: dict[str, list[int]] = {}

    @property
    def requests(self) -> int:
        """All requests, good and failed."""
        return sum(self.answered.values()) + self.failures

    @property
    def failures(self) -> int:
        """All requests that failed."""
        return sum(self.failed.values())

    def fail(self, kind: Kind, what: str) -> None:
        """Count a failure; the first few are kept in words."""
        count(self.failed, kind)
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {what}")

    def add(self, other: Counters) -> None:
        """Count what another client saw as well."""
        for mine, theirs in ((self.answered, other.answered), (self.failed, other.failed), (self.long, other.long)):
            for name, number in theirs.items():
                count(mine, name, number)
        for pid, number in other.spanning.items():
            count(self.spanning, pid, number)
        self.examples += other.examples[: EXAMPLES - len(self.examples)]
        self.instances += [pid for pid in other.instances if pid not in self.instances]
        self.connections += other.connections
        self.handed += other.handed
        self.idle += other.idle
        for phase, micros in other.micros.items():
            self.micros.setdefault(phase, []).extend(micros)

    def latency(self, phase: str, share: float) -> float:
        """Milliseconds within which that share (0.99: p99) of the quick requests of a phase were answered."""
        ranked = sorted(self.micros.get(phase, ()))
        if not ranked:
            return 0.0
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] / 1000

    def figures(self) -> str:
        """The whole as lines for a person."""
        slots = ", ".join(f"{number} from {slot}" for slot, number in sorted(self.answered.items()))
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.failed.items())) or "none"
        spans = sorted(self.spanning.values())
        lines = [
            f"requests   {self.requests}: {slots}",
            f"failed     {self.failures}: {kinds}",
            f"connected  {self.connections} times; {self.handed} told to close, {self.idle} closed while idle",
            f"instances  {len(self.instances)}; connections that span a flip: "
            + (f"{sum(spans)}, at each {spans[0]} to {spans[-1]}" if spans else "none"),
            "long       " + (", ".join(f"{number} {what}" for what, number in sorted(self.long.items())) or "none"),
        ]
        for phase, micros in self.micros.items():
            told = " ".join(f"{name} {self.latency(phase, share):.1f}" for name, share in SHARES.items())
            lines.append(f"latency    {phase}: {told} ms ({len(micros)} requests)")
        return "\n".join([*lines, *self.examples])


def count(counter: dict[K, int], key: K, number: int = 1) -> None:
    """Add to a counter. (msgspec knows no collections.Counter.)"""
    counter[key] = counter.get(key, 0) + number


SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
