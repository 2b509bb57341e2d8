"""One HTTP/1.1 answer, taken in pieces as the network gives them (RFC 9112)."""

from __future__ import annotations


class Malformed(Exception):
    """Bytes that are no answer, or not the answer to what was asked."""


class Answer:
    """The answer to one GET: whole once `feed` has returned true, with nothing after it."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.keeps = True
        self._rest = b""
        self._length: int | None = None
        self._chunked = False

    @property
    def begun(self) -> bool:
        """Return whether its head has come."""
        return self.status > 0

    def feed(self, piece: bytes) -> bool:
        """Take a piece; true when the answer is whole. Raises: Malformed."""
        self._rest += piece
        if not self.begun and not self._head():
            return False
        if self._chunked:
            return self._chunks()
        assert self._length is not None
        if len(self._rest) > self._length:
            raise Malformed(f"{len(self._rest) - self._length} bytes after the body")
        self.body = self._rest
        return len(self.body) == self._length

    def _head(self) -> bool:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            return False
        first, *lines = head.split(b"\r\n")
        words = first.split(b" ", 2)
        if len(words) < 2 or words[0] != b"HTTP/1.1" or not words[1].isdigit():
            raise Malformed(f"begins with {first[:40]!r}")
        for line in lines:
            name, _, value = line.partition(b":")
            match name.lower(), value.strip().lower():
                case b"connection", b"close":
                    self.keeps = False
                case b"content-length", number if number.isdigit():
                    self._length = int(number)
                case b"transfer-encoding", b"chunked":
                    self._chunked = True
        if self._length is None and not self._chunked:
            # An end that is the connection's end could not be told from a cut.
            raise Malformed("neither Content-Length nor chunks")
        self.status, self._rest = int(words[1]), rest
        return True

    def _chunks(self) -> bool:
        while True:
            line, end, rest = self._rest.partition(b"\r\n")
            if not end:
                return False
            try:
                size = int(line, 16)
            except ValueError:
                raise Malformed(f"a chunk's size is {line[:20]!r}") from None
            if len(rest) < size + 2:
                return False
            if rest[size : size + 2] != b"\r\n":
                raise Malformed("a chunk without an end")
            self.body += rest[:size]
            self._rest = rest[size + 2 :]
            if size == 0:
                if self._rest:
                    raise Malformed(f"{len(self._rest)} bytes after the last chunk")
                return True
