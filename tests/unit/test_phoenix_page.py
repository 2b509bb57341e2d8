"""docs/phoenix.md: its inventory is valid, and the health check sends the request that it describes."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from warpbeam.inventory.read import read_inventory

PROJECT = Path(__file__).parent.parent.parent
PAGE = (PROJECT / "docs" / "phoenix.md").read_text()


def test_the_inventory_of_the_page_is_one_that_can_be_read(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "production.yml"
    file.write_text(shown)

    inventory = read_inventory(file)

    assert inventory.deploy.strategy == "blue-green"
    assert inventory.deploy.migrate == "Shop.Release.migrate()"
    assert set(inventory.secrets) == {"SECRET_KEY_BASE", "DATABASE_URL"}


def test_health_is_asked_of_localhost_which_force_ssl_lets_through() -> None:
    host = PROJECT / "warpbeam" / "host"
    with socket.create_server(("127.0.0.1", 0)) as server:
        parts = f". {host}/common.sh; . {host}/http.sh"
        script = f"{parts}; http_answers {server.getsockname()[1]} /health 200 30; echo $?"
        asking = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
        server.settimeout(30)
        connection, _ = server.accept()
        with connection:
            asked = ""
            # Read the whole request: closing before would reset the connection.
            while "\r\n\r\n" not in asked:
                asked += connection.recv(4096).decode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        said, _ = asking.communicate(timeout=30)

    assert "\r\nHost: localhost\r\n" in asked
    assert said == "0\n"
