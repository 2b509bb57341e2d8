"""The console: IEx on the running node of a host."""

from __future__ import annotations

import os

from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.inventory.schema import Host


def console_argv(fleet: Fleet, host: Host) -> list[str]:
    """Return the command line of a console on the running node of `host`.

    With a terminal it is IEx. Without one, standard input is evaluated on the node and its value printed: IEx itself
    would then ignore the node that it was given, and on OTP 27 take the node down at the end of its input.
    """
    from warpbeam.ssh.connection import Connection, openssh_argv

    terminal = os.isatty(0)
    command = ["sudo", "-n", "--", helper(fleet.inventory), "console" if terminal else "rpc"]
    shell = fleet.shell(host)
    return openssh_argv(shell, command, tty=terminal) if isinstance(shell, Connection) else command
