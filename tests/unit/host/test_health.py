"""Verdicts on an instance's answer to the health check."""

from __future__ import annotations

import socket
import subprocess
import threading

import pytest

from tests.timeouts import ANSWER
from warpbeam.host.script import PACKAGE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (OK, "200"),
        (b"HTTP/1.0 200 OK\r\n\r\nok", "200"),
        (b"HTTP/1.1 200\n\n", "200"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://x/\r\n\r\n", "301"),
        # Interim responses come before the one that counts.
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "200"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.css>\r\n\r\n" + OK, "200"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "no answer"),
        (b"HTTP/1.1 20", "no answer"),
        (b"", "no answer"),
        # An alert of TLS, and the greeting of another protocol.
        (b"\x15\x03\x01\x00\x02\x02\x46", "no HTTP"),
        (b"220 mail.example ESMTP\r\n", "no HTTP"),
    ],
)
def test_the_answer_that_counts_is_reported_and_what_is_none(answer: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        parts = f". {PACKAGE}/host/common.sh; . {PACKAGE}/host/http.sh"
        ask = (
            f"{parts}; http_answers {server.getsockname()[1]} /health 200 {ANSWER} 127.0.0.1 || true; echo $health_said"
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
        thread.join()

    assert done.stdout == f"{said}\n"
