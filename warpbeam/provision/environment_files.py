"""Environment files (systemd.exec(5), EnvironmentFile=): the variables and secrets of an app as texts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from warpbeam.error import Refused
from warpbeam.host.template import systemd_quoted
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.app_files import file_variables
from warpbeam.provision.app_template import render
from warpbeam.runtime.kinds import COOKIE

# A plain word, or a text in double quotes with every quote in it escaped (`template.systemd_quoted`).
_VALUE = re.compile(r'[A-Za-z0-9_@.-]*|"(?:[^\\"`$\0]|\\[\\"`$])*"')
# A mark in the cookie's file since version 8 of the privileged helper. Before, every process list showed the cookie.
COOKIE_MARK = "in no process's arguments"


def own_variables(inventory: Inventory) -> dict[str, str]:
    """Return the app's own variables, without its secrets; those of the inventory come last."""
    return {"LANG": "C.UTF-8", "MIX_ENV": inventory.build.mix_env, **file_variables(inventory), **inventory.env}


def cookie_text(inventory: Inventory, cookie: str, *, shown: bool) -> str:
    """Return the text of the cookie's file; `shown`: of one whose cookie every process list has shown."""
    title = f"The cookie of {inventory.app}'s nodes{'' if shown else f', {COOKIE_MARK}'}."
    # The cookie has no quotes: it is alphanumeric, and `warpbeam/provision/inspect.sh` reads it as it is.
    return variables_text(inventory, title, {COOKIE: cookie})


def secrets_text(inventory: Inventory, secrets: dict[str, str]) -> str:
    """Return the text of the app's secrets file."""
    return variables_text(inventory, f"Secrets of {inventory.app}.", quoted(secrets))


def variables_text(inventory: Inventory, title: str, values: Mapping[str, str]) -> str:
    """Return an environment file (systemd.exec(5)); `values` appear in it as they are.

    Raises: Refused, where a value would add more to the file than its own variable, wherever it comes from.
    """
    for name, value in values.items():
        if not _VALUE.fullmatch(value):
            raise Refused(
                f"the value of {name} cannot stand in an environment file: it holds more than one plain word",
                "nothing was written; see where it comes from: the inventory, a secret, a host's cookie",
            )
    return render("variables.env.j2", inventory, title=title, variables=[*values.items()])


def quoted(values: Mapping[str, str]) -> dict[str, str]:
    """Return `values` quoted so that an environment file passes them on byte for byte."""
    return {name: systemd_quoted(value) for name, value in values.items()}
