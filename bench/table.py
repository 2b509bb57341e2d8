"""The results as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.result import Summary

CASES = {"first": "first deploy", "change": "one-module change"}
HEAD = (
    "| peer | n | median s | least to most s | times ours | times the floor "
    "| processor s here | on the hosts | peak memory MB | moved MB |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


def table(machine: Mapping[str, str], found: Sequence[Summary]) -> str:
    """Return a heading and a table for each setting."""
    parts = ["# Results\n\nMade by `script/bench`; bench/README.md says what is measured and how.\n"]
    parts.append("".join(f"\n- {name}: {value}" for name, value in machine.items()) + "\n")
    for setting in dict.fromkeys(summary.setting for summary in found):
        rows = [summary for summary in found if summary.setting == setting]
        parts.append(f"\n## {title(setting)}\n\n{HEAD}" + "".join(map(_line, rows)))
    return "".join(parts)


def title(setting: tuple[str, str, str, int]) -> str:
    """Return a setting in words."""
    app, case, network, hosts = setting
    return f"{hosts} {'host' if hosts == 1 else 'hosts'}, {CASES[case]}, app `{app}`, {network}"


def _line(of: Summary) -> str:
    cells = (
        f"{of.peer} {of.version}",
        str(of.count),
        f"{of.seconds:.2f}",
        f"{of.least:.2f} to {of.most:.2f}",
        _times(of.to_ours),
        _times(of.to_floor),
        f"{of.processor:.2f}",
        f"{of.there:.2f}",
        f"{of.peak / 1e6:.0f}",
        f"{of.moved / 1e6:.2f}",
    )
    return f"| {' | '.join(cells)} |\n"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
