"""The privileged helper: the one program that the deploy user may run as root. Its version, verbs and path."""

from __future__ import annotations

from warpbeam.inventory.schema import Inventory

# A deploy that needs another version of the helper asks for `setup`. Raise the version when the verbs change.
HELPER_VERSION = "9"
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
    "migrate",
    "logs",
    "console",
    "rpc",
    "well",
    "eval",
)
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
