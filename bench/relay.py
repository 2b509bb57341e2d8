"""A TCP relay with a delay: data that arrives leaves again DELAY seconds later, in both directions.

    python -m bench.relay DELAY HOST:PORT ...

Listens on a port of 127.0.0.1 for each destination, prints the ports on one line, and ends when its standard input
ends. The relay delays the handshake too: the client's kernel is connected at once, but the relay accepts no data and
sends none before the time at which the connection would have been open. The rate is not limited. At most WINDOW bytes
are under way in each direction, about as much as Linux lets a receive buffer grow to (tcp(7), tcp_rmem).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque

WINDOW = 4 << 20
PIECE = 1 << 16


class Way:
    """One direction of a connection: pieces, each with the time at which it arrives."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.changed = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Take pieces from `reader` until its end, which becomes an empty piece."""
        clock = asyncio.get_running_loop().time
        while True:
            while self.size >= WINDOW:
                self.changed.clear()
                await self.changed.wait()
            piece = b""
            with contextlib.suppress(OSError):
                piece = await reader.read(PIECE)
            self.pieces.append((clock() + self.delay, piece))
            self.size += len(piece)
            self.changed.set()
            if not piece:
                return

    async def give(self, writer: asyncio.StreamWriter) -> None:
        """Pass on each piece when its time has come."""
        clock = asyncio.get_running_loop().time
        while True:
            while not self.pieces:
                self.changed.clear()
                await self.changed.wait()
            due, piece = self.pieces[0]
            if (left := due - clock()) > 0:
                await asyncio.sleep(left)
            self.pieces.popleft()
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()
            self.size -= len(piece)
            self.changed.set()


async def relay(near: asyncio.StreamReader, back: asyncio.StreamWriter, host: str, port: int, delay: float) -> None:
    """Relay one connection to `host` until both of its directions have ended."""
    # SYN and its answer take the client a round trip, its ACK half of one more: only then does the server speak.
    await asyncio.sleep(3 * delay)
    try:
        far, out = await asyncio.open_connection(host, port)
    except OSError:
        back.close()
        return
    for writer in (back, out):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    there, here = Way(delay), Way(delay)
    ways = [there.take(near), there.give(out), here.take(far), here.give(back)]
    with contextlib.suppress(OSError):
        await asyncio.gather(*ways)
    for writer in (back, out):
        writer.close()


async def serve(delay: float, destinations: list[tuple[str, int]]) -> None:
    """Listen for each destination until standard input ends."""
    ports = []
    for host, port in destinations:

        async def accepted(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: int = port
        ) -> None:
            await relay(reader, writer, host, port, delay)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main(delay: str, *destinations: str) -> None:
    """Run the program."""
    pairs = [(host, int(port)) for host, _, port in (text.rpartition(":") for text in destinations)]
    asyncio.run(serve(float(delay), pairs))


if __name__ == "__main__":
    main(*sys.argv[1:])
