"""The console: IEx on the running node of a host."""

from __future__ import annotations

from typing import BinaryIO

from warpbeam.error import Misuse
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.inventory.schema import Host
from warpbeam.operate.evaluate import read_expression
from warpbeam.provision.check_owner import check_owner


def piped_expression(stdin: BinaryIO) -> str:
    """Return what to evaluate on the node where standard input is no terminal.

    IEx itself would then ignore the node that it was given, and on OTP 27 take the node down at the end of its input.

    Raises: Misuse, where standard input has no expression, or none that `read_expression` takes.
    """
    text = read_expression("-", stdin, blank=True)
    if not text.strip():
        raise Misuse("remote-console needs a terminal", "`fab ENV rpc EXPRESSION` evaluates one expression without one")
    return text


def console_argv(fleet: Fleet, host: Host) -> list[str]:
    """Return the command line of IEx on the running node of `host`, for a terminal.

    The host is asked before, because OpenSSH says too little of one that does not answer.

    Raises: Refused, where the host cannot be reached, is not set up or belongs to another environment.
    """
    from warpbeam.ssh.connection import Connection, openssh_argv

    check_owner(fleet, host)
    # With admission, a console is the admin's: it runs anything. sudo may ask for a password there.
    admits = fleet.inventory.admits
    command = ["sudo", *(() if admits else ("-n",)), "--", helper(fleet.inventory), "console"]
    shell = fleet.shell(host, "admin" if admits else "deploy")
    return openssh_argv(shell, command, tty=True) if isinstance(shell, Connection) else command
