"""The commits and migrations between two revisions of a source."""

from __future__ import annotations

from warpbeam.build.git import lines_of, run_git
from warpbeam.build.source import Source
from warpbeam.build.working_tree import literal

# How many commits, or migrations, are shown, and how many characters of each.
MOST_TOLD = 1000
LONGEST_TOLD = 500


def migrations_added(source: Source, since: str) -> list[str]:
    """Return the migrations that the source has and commit `since` has not: files below priv/…/migrations/ (Ecto)."""
    return _migrations(source, since, "A")


def migrations_lost(source: Source, since: str) -> list[str]:
    """Return the migrations that commit `since` has and the source has not; databases that ran them keep them."""
    return _migrations(source, since, "D")


def _migrations(source: Source, since: str, change: str) -> list[str]:
    done = run_git(
        source.top,
        "diff",
        "--name-only",
        f"--diff-filter={change}",
        "--no-renames",
        since,
        source.commit,
        "--",
        f":(top,glob){source.prefix}**/priv/**/migrations/*",
    )
    return _split_nul(done.stdout) if done.returncode == 0 else []


def commits_since(source: Source, since: str) -> list[str] | None:
    """Return a line for each commit of the source since `since`, newest first; None where `since` is unknown here.

    When `since` is no ancestor (a rollback, a rewritten history), lines of new commits begin with `>`, lines of lost
    commits with `<`.
    """
    if run_git(source.top, "cat-file", "-e", f"{since}^{{commit}}").returncode != 0:
        return None
    ancestor = run_git(source.top, "merge-base", "--is-ancestor", since, source.commit).returncode == 0
    style = ["--format=%h %s (%an)"] if ancestor else ["--left-right", "--format=%m %h %s (%an)"]
    dots = ".." if ancestor else "..."
    most = f"--max-count={MOST_TOLD + 1}"
    done = run_git(
        source.top, "log", most, *style, f"{since}{dots}{source.commit}", "--", *literal(source.layout.paths)
    )
    return _split_nul(done.stdout)


def _split_nul(said: bytes) -> list[str]:
    """Return lines as `lines_of` does, but limited in number and length, which the author of a commit decides."""
    lines = [line if len(line) <= LONGEST_TOLD else f"{line[:LONGEST_TOLD]}…" for line in lines_of(said)]
    return lines if len(lines) <= MOST_TOLD else [*lines[:MOST_TOLD], "… and more"]
