"""Tasks: one module a command group, each thin: arguments, help, one call, one report.

`collection` makes the namespace that a `fabfile.py` exports: every task, and one word for each inventory. A wheel
installs this package as `warpbeam.tasks`, so that it does not take the name `tasks` in site-packages; therefore its own
imports are relative.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from invoke import Collection, Exit, Task


def collection(fabfile: str) -> Collection:
    """Return the namespace of a `fabfile.py`; the inventories are in `inventory/` beside it, or in WARPBEAM_INVENTORY.

    Parameters:
        fabfile: the `__file__` of that file.

    Raises:
        invoke.Exit: see `assemble`.
    """
    project = Path(fabfile).resolve().parent
    return assemble(project, inventories(project))


def inventories(project: Path) -> Path:
    """Return the directory of environments for the directory of a `fabfile.py`."""
    return Path(os.environ.get("WARPBEAM_INVENTORY") or project / "inventory")


def assemble(project: Path, inventory: Path) -> Collection:
    """Return every task of this package, and one word for each file of the `inventory` directory.

    Raises:
        invoke.Exit: a file of the directory cannot be an environment's word; code 2.
    """
    from warpbeam.cli.guide import install
    from warpbeam.error import Misuse
    from warpbeam.inventory.files import environments

    from . import (
        ansible,
        artifacts,
        build,
        codedeploy,
        config,
        console,
        deploy,
        doctor,
        firewall,
        hosts,
        init,
        lab,
        lock,
        logs,
        maintenance,
        power,
        release,
        secrets,
        setup,
        status,
        version,
    )

    namespace = Collection()
    for module in (setup, build, release, power, status, console, logs, config, doctor, version):
        for task in module.TASKS:
            namespace.add_task(task)
    groups = {
        "artifacts": artifacts,
        "codedeploy": codedeploy,
        "deploy": deploy,
        "firewall": firewall,
        "hosts": hosts,
        "init": init,
        "inventory": ansible,
        "lab": lab,
        "lock": lock,
        "maintenance": maintenance,
        "secrets": secrets,
    }
    for name, group in groups.items():
        namespace.add_collection(group.namespace, name=name)
    try:
        words = environments(inventory)
        for name, file in words.items():
            taken = name in namespace.task_names or name in namespace.collections
            if taken:
                raise Misuse(
                    f"{file}: `{name}` is the name of a task, so it cannot be an environment's",
                    "rename the file",
                )
            namespace.add_task(_word(name, file), name=name)
    except Misuse as misuse:
        from warpbeam.cli.screen import error_text

        raise Exit(error_text(misuse.message, misuse.hint), code=misuse.code) from None
    install(inventory)
    namespace.configure({"environment": None, "warpbeam": {"project": str(project)}})
    return namespace


def _word(name: str, file: Path) -> Task[Any]:
    """Return the task that means "use this inventory for what follows"; only a foreign executor calls its body."""
    from warpbeam.cli.session import session
    from warpbeam.cli.task_list import ENVIRONMENT

    def body(c: object) -> None:
        session(c)

    body.__doc__ = f"{ENVIRONMENT}Use inventory/{file.name} for the tasks that follow."
    word: Task[Any] = Task(body, name=name, auto_shortflags=False)
    vars(word)["environment"] = file
    return word
