"""The text of a maintenance page, messages about it, and the program that serves it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from warpbeam.error import Misuse
from warpbeam.inventory.read import read_inventory
from warpbeam.operate.maintenance import Shown, check_message, sentence
from warpbeam.provision.footprint import footprint

PROJECT = Path(__file__).parents[3]
PAGE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p>\n"


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\tb", "a\x7f", "ü" * 501])
def test_a_text_that_cannot_be_on_the_page_is_refused(text: str) -> None:
    with pytest.raises(Misuse):
        check_message(text)


def test_a_text_is_taken_up_to_its_last_byte() -> None:
    assert check_message(" " + "ü" * 500 + "\n") == "ü" * 500


@pytest.mark.parametrize(
    ("shown", "text", "good"),
    [
        (Shown("on", "503", 0, "R"), "maintenance is on, port 80 answers 503", True),
        (Shown("on", "200", 0, "R"), "maintenance is on, port 80 answers 200; expected 503", False),
        (Shown("on", "no answer", 0, ""), "maintenance is on, port 80 does not answer; expected 503", False),
        (Shown("off", "404", 0, "R"), "maintenance is off, port 80 leads to R and answers 404", True),
        (Shown("off", "no answer", 0, "R"), "maintenance is off, port 80 leads to R and does not answer", False),
        (Shown("off", "no answer", 0, ""), "maintenance is off, nothing is live", True),
    ],
)
def test_what_a_host_serves_is_reported_in_words(shown: Shown, text: str, good: bool) -> None:
    assert sentence(shown, 80) == (text, good)


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PAGE),
        (b"\r\nGET / HTTP/1.0\n\n", PAGE),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", PAGE.removesuffix(b"<p>\n")),
        (b"POST / HTTP/1.1\r\nContent-length:  5\r\n\r\nhello", PAGE),
        (b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"\0" * 200_000, PAGE),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", PAGE),
        (b"", b""),
    ],
    ids=["get", "empty line before", "head", "body", "large body", "large head", "nothing"],
)
def test_one_connection_is_answered_and_never_reset(tmp_path: Path, request_text: bytes, answer: bytes) -> None:
    inventory = read_inventory(PROJECT / "inventory" / "demo.yml")
    made = footprint(inventory, inventory.hosts["web1"], {}, "cookie", ())
    (script,) = [file.content for file in made.files if file.path == "/usr/lib/warpbeam/hello/maintenance"]
    (tmp_path / "page").write_bytes(PAGE)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        theirs, _ = server.accept()
        with (tmp_path / "page").open("rb") as page, theirs:
            process = subprocess.Popen(["bash", "-c", script], stdin=page, stdout=theirs.fileno())
        client.sendall(request_text)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        said = b""
        while piece := client.recv(65536):
            said += piece
        assert said == answer
        assert process.wait(20) == 0


def test_what_answers_passes_shellcheck() -> None:
    inventory = read_inventory(PROJECT / "inventory" / "demo.yml")
    made = footprint(inventory, inventory.hosts["web1"], {}, "cookie", ())
    (script,) = [file.content for file in made.files if file.path == "/usr/lib/warpbeam/hello/maintenance"]

    done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""
