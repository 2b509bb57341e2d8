"""install.sh of a build host: the hint for what asdf, mise or a plugin said."""

from __future__ import annotations

import os
import subprocess

import pytest

from warpbeam.host.script import PACKAGE

# All but the call of `main`.
SCRIPT = (PACKAGE / "build/install.sh").read_text().removesuffix("main\n")
REACH = "can the build host reach what mise downloads from?"
PACKAGES = "`build: {install: true}` and `setup` install what the build of an Erlang needs"
DNS = "client error (Connect): dns error: error resolving DNS: failed to lookup address information"

# Real output of mise 2026.9.15 without a network, of git and curl, of make and configure; and the hint for it.
HINTS = [
    (f"mise ERROR Failed to install core:erlang@27.1.2: error sending request: {DNS}", REACH),
    ("mise ERROR Failed to install core:elixir@1.17.3-otp-27: error sending request", REACH),
    ("fatal: unable to access 'https://github.com/x.git/': Could not resolve host: github.com", REACH),
    ("curl: (28) Failed to connect to builds.hex.pm port 443: Connection timed out", REACH),
    ("mise ERROR HTTP status client error (403 Forbidden) for url (https://x)", "refuses this build host"),
    ("curl: (22) The requested URL returned error: 403", "refuses this build host"),
    ("tar: otp_src/erts: Cannot mkdir: No space left on device", "make room on the build host"),
    ("configure: error: No curses library functions found", PACKAGES),
    ("configure: error: no acceptable C compiler found in $PATH", PACKAGES),
    ("there is no Erlang 25.6.6 to download", "is it a version that mise knows?"),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_a_hint_is_about_what_an_installation_said(text: str, hint: str) -> None:
    parameters = "root=/ variables=() tools=mise"
    script = f'{parameters}\n{SCRIPT}\nrecognise "$1"; printf %s "$REPLY"'
    argv = ["bash", "-c", script, "test", text]
    done = subprocess.run(argv, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)

    assert hint in done.stdout
