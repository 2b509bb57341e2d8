"""Refusals of hosts that cannot be reached: each says what to look at, and `doctor` shows it behind `->`."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from warpbeam.cli.findings import lines
from warpbeam.doctor.finding import Finding
from warpbeam.error import Unreachable
from warpbeam.ssh.attempt import Attempt
from warpbeam.ssh.refusal import refusal
from warpbeam.ssh.ssh_config import Settings

SETTINGS = Settings("web1", "web1", "web1", "web1.example.com", 22, "deploy")
ERRORS = [
    *(OSError(number, os.strerror(number)) for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET)),
    ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
    socket.gaierror(-2, "Name or service not known"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_host_that_cannot_be_reached_is_told_with_what_to_look_at(error: Exception) -> None:
    attempt = Attempt(10)
    attempt._timer.cancel()

    problem = refusal(SETTINGS, error, attempt)

    assert isinstance(problem, Unreachable)
    (line,) = lines([Finding("web1", "ssh", False, problem.reason, problem.hint)], {})
    assert f" -> {problem.hint}" in line
