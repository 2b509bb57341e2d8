"""The privileged helper: the one program that the deploy user may run as root. Its version, verbs, text and path."""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.host.template import shared
from warpbeam.inventory.schema import Inventory

# A deploy that needs another version of the helper asks for `setup`. Raise the version when the verbs change, or
# when the launcher learns a kind of release.
HELPER_VERSION = "12"
SUDO_VERBS = (
    "version",
    "ready",
    "status",
    "reconcile",
    "start",
    "stop",
    "abandon",
    "switch",
    "drain",
    "undrain",
    "activate",
    "serve",
    "maintenance",
    "admit",
    "admitted",
    "migrate",
    "logs",
    "console",
    "rpc",
    "well",
    "eval",
)
# With admission, a stolen deploy key must not evaluate anything: these verbs are then the admin's.
ADMIN_VERBS = ("console", "rpc", "eval")
# Parts that several verbs need.
_TABLES = ("helper/state", "host/listeners", "helper/tables")
_RELEASES = ("helper/user", "host/release_rules", "helper/releases")
_LIVE = ("helper/state", *_RELEASES, "helper/live")
_INSTANCE = (*_RELEASES, "host/instance", "helper/process", "helper/instance")
_SIGNATURE = ("helper/signature", "helper/admission")
_ADMISSION = (*_INSTANCE, *_SIGNATURE, "host/digest", "helper/discard", "helper/copy", "helper/admit")
_RECONCILE = ("helper/input", *_TABLES, *_ADMISSION, "helper/lock", "helper/mend", "helper/reconcile")
_BESIDE = (*_LIVE, *_INSTANCE, *_SIGNATURE, "host/listeners", "helper/sandboxed", "helper/beside")
_ALONE = (
    *(*_LIVE, *_INSTANCE, *_SIGNATURE, "helper/input", "helper/wait", "helper/sandboxed"),
    *("helper/own_expression", "helper/alone", "helper/eval"),
)
# The shell files of each verb, beside the head (templates/helper.sh.j2). All are one file on a host, so that an update
# is atomic. The order counts: bash parses a script as it runs it, and each deploy calls the helper three times, so the
# verbs of a deploy come first. A verb runs as soon as its parts are read (`program`).
VERB_PARTS: Mapping[str, tuple[str, ...]] = {
    "ready": ("host/json", "helper/input", "helper/state", "helper/ready"),
    "activate": ("helper/record", "helper/activate"),
    "version": ("helper/version",),
    # The job's own verbs, which `serve` runs.
    "serve": (
        *_RECONCILE,
        *("helper/start", "helper/stop", "helper/abandon", "helper/switch", "helper/drain", "helper/serve"),
    ),
    "reconcile": _RECONCILE,
    "start": ("helper/input", *_TABLES, *_INSTANCE, *_SIGNATURE, "helper/start"),
    "admit": ("helper/input", *_ADMISSION),
    "admitted": (*_INSTANCE, *_SIGNATURE, "helper/admitted"),
    "stop": ("helper/input", "helper/lock", "helper/stop"),
    "abandon": ("helper/input", "helper/state", *_RELEASES, "helper/abandon"),
    "switch": ("helper/input", *_TABLES, "helper/lock", "helper/switch"),
    "drain": ("helper/input", "helper/user", "helper/drain"),
    "undrain": ("helper/input", "helper/user", "helper/drain"),
    "maintenance": (
        "helper/input",
        *_TABLES,
        *_RELEASES,
        "helper/lock",
        "helper/maintenance_page",
        "helper/maintenance",
    ),
    "status": ("host/json", "helper/state", *_INSTANCE, "helper/status"),
    "logs": ("helper/input", "helper/wait", "helper/logs"),
    "console": (*_BESIDE, "helper/console"),
    "rpc": (*_BESIDE, "helper/expression", "helper/rpc"),
    "well": ("helper/input", *_BESIDE, "helper/expression", "helper/own_expression", "helper/well"),
    "eval": _ALONE,
    "migrate": _ALONE,
}
# The largest expression that the helper accepts, in bytes: far more than anybody writes, and little for a node.
MOST_EXPRESSION = 1 << 20
# Elixir that reads an expression, so that it is in no argument list, evaluates it and prints the value. The expression
# comes from standard input or, in a VM of its own, from the file where the launcher put it.
EVALUATE = "Code.eval_string() |> elem(0) |> IO.inspect(limit: :infinity, printable_limit: :infinity)"
READ_AND_EVALUATE = f"IO.read(:stdio, :eof) |> {EVALUATE}"
FIND_AND_EVALUATE = f'System.fetch_env!("RUNTIME_DIRECTORY") |> Path.join("expression") |> File.read!() |> {EVALUATE}'

# Evaluates likewise, and fails unless the value is true; the last line printed is then the value.
READ_AND_REQUIRE = (
    "value = IO.read(:stdio, :eof) |> Code.eval_string() |> elem(0); "
    "if value != true, do: (IO.puts(inspect(value)); exit(:unwell))"
)


def program(head: str) -> str:
    """Return the text of the helper: its head, and each verb, which runs once its parts are there."""
    texts = [head]
    there: set[str] = set()
    for verb, parts in VERB_PARTS.items():
        texts += [shared(part) for part in parts if part not in there]
        there.update(parts)
        texts.append(f"if [[ $verb == {verb} ]]; then verb_{verb}; exit; fi\n")
    return "\n".join(texts)


def sudo_verbs(inventory: Inventory) -> tuple[str, ...]:
    """Return the verbs that the deploy user may ask for."""
    return tuple(verb for verb in SUDO_VERBS if not inventory.admits or verb not in ADMIN_VERBS)


def programs(inventory: Inventory) -> str:
    """Return the directory of the app's programs on a host: root's, for everybody to read."""
    return f"/usr/lib/warpbeam/{inventory.app}"


def former_programs(inventory: Inventory) -> tuple[str, ...]:
    """Return the paths of the helper and the launcher in earlier versions, which setup removes."""
    return tuple(f"{programs(inventory)}/{name}" for name in ("door", "dumps"))


def helper(inventory: Inventory) -> str:
    """Return the path of the app's privileged helper."""
    return f"{programs(inventory)}/warpbeam-helper"


def record_file(inventory: Inventory) -> str:
    """Return the file where the helper records the content of each release when it was put live; all may read it."""
    return f"/var/lib/warpbeam/{inventory.app}/releases"


def suspects_file(inventory: Inventory) -> str:
    """Return the file of the releases that were there when setup last removed a deploy key; all may read it."""
    return f"/var/lib/warpbeam/{inventory.app}/suspects"
