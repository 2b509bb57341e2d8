"""The version of Warpbeam."""

from __future__ import annotations

from typing import Any

from invoke import task


@task(auto_shortflags=False, help={"json": "print JSON on standard output"})
def version(c: Any, json: bool = False) -> None:
    """Show the version of Warpbeam, and of what it runs on."""
    import platform
    import sys
    from importlib import metadata

    from warpbeam.cli.screen import print_lines
    from warpbeam.cli.session import session
    from warpbeam.version import VERSION

    here = session(c)
    rows = [{"program": "warpbeam", "version": VERSION}]
    rows += [{"program": name, "version": metadata.version(name)} for name in ("fabric", "invoke", "paramiko")]
    rows.append({"program": "python", "version": platform.python_version()})
    if json:
        here.report.table(rows, as_json=True)
    else:
        print_lines(sys.stdout, ", ".join(f"{row['program']} {row['version']}" for row in rows))


TASKS = (version,)
