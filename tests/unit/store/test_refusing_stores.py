"""Stores that refuse or are full: one message each, and the same command works when they do not."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.test_incoming import no_room
from tests.unit.store.test_shared_stores import APP, KEY, keep
from warpbeam.build.signature import Trust
from warpbeam.event import silent
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.s3 import S3Bucket
from warpbeam.store.shared import Unavailable
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.transfer import push

TRUST = Trust("acme", "hello")
CODES = ("AccessDenied", "InvalidAccessKeyId", "ExpiredToken", "NoSuchBucket")


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server of S3 that refuses everything; the bucket's name is the code of the refusal."""

    def do_GET(self) -> None:
        code = self.path.split("/")[1].partition("?")[0]
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(404 if code == "NoSuchBucket" else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of that server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


@pytest.mark.parametrize("code", CODES)
def test_an_s3_that_refuses_is_one_message_with_what_to_look_at(
    server: str, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    for variable, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{variable}", value)

    with pytest.raises(Unavailable) as refused:
        S3Bucket(f"s3://{code}", code, "", APP, server).files()

    assert refused.value.message.startswith(f"the store s3://{code}: cannot list its files: ")
    assert ("make the bucket" if code == "NoSuchBucket" else "AWS_ACCESS_KEY_ID") in refused.value.hint
    assert "secret" not in refused.value.message.replace("AWS_SECRET_ACCESS_KEY", "")


def test_a_directory_that_is_full_says_so_and_keeps_no_half(tmp_path: Path) -> None:
    here = DirectoryStore(tmp_path / "here")
    keep(here, KEY, os.urandom(3000))
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)

    with no_room(2000), pytest.raises(Unavailable, match=r"the store .*/store cannot be used: ") as full:
        push(KEY, here, shared, TRUST, silent)

    assert "look at its room" in full.value.hint
    assert [*(tmp_path / "store" / APP).iterdir()] == []
    assert push(KEY, here, shared, TRUST, silent)
