"""A zygote: a Python process that has imported Warpbeam and its libraries, and forks itself for each `fab` of a test.

Each `fab` has a process of its own, runs the real script, and reads the tasks and the inventories anew. It does not
import Warpbeam, Fabric and Paramiko again, which takes more processor time than the rest of most commands. The zygote
runs this file as its program; therefore the file itself imports nothing of the project.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from signal import SIGKILL
from time import monotonic
from typing import IO, Any, cast

# The third-party modules that `fab` imports; what they import comes along.
LIBRARIES = (
    "fabric.main",
    "jinja2",
    "msgspec.json",
    "packaging.specifiers",
    "paramiko",
    "rich.console",
    "rich.live",
    "rich.progress",
    "rich.table",
    "rich.text",
    "yaml",
)
# Warpbeam's own modules read no variable while they are imported. The tasks do (WARPBEAM_INVENTORY): each `fab` imports
# them itself.
PROJECT = Path(__file__).parent.parent
# Beginnings of the variables that neither Python nor a module above reads while it is imported.
READ_LATE = ("FABRIC_", "PYTEST_", "WARPBEAM_")
NUMBER = struct.Struct("!q")


class Zygote:
    """The zygote of a test process, seen from there."""

    def __init__(self) -> None:
        self._environ = _read_early(os.environ)
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            # Its standard streams are pipes, as those of each `fab` are: Python looks at that to decide how it buffers.
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(other.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[other.fileno()],
                env=dict(os.environ),
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the zygote; a `fab` that still runs goes on."""
        self._control.close()
        self._process.communicate()

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Return whether a process with these variables would start as the zygote did."""
        return _read_early(environ) == self._environ

    def run(
        self, argv: list[str], text: str, timeout: float, directory: Path, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python script with `text` as its standard input, as `subprocess.run` does.

        Raises:
            subprocess.TimeoutExpired: the script did not end in time, and was killed.
        """
        end = monotonic() + timeout
        call = json.dumps({"argv": argv, "directory": str(directory), "environ": dict(environ)}).encode()
        with ExitStack() as stack:
            stream, its_stream = map(stack.enter_context, socket.socketpair())
            (its_in, write), (out, its_out), (err, its_err) = (
                [stack.enter_context(os.fdopen(one, mode)) for one, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]
                for _ in range(3)
            )
            with its_stream, its_in, its_out, its_err:
                passed = [its_in.fileno(), its_out.fileno(), its_err.fileno(), its_stream.fileno()]
                socket.send_fds(self._control, [b"\0"], passed)
            stream.sendall(NUMBER.pack(len(call)) + call)
            process = _number(stream)
            try:
                said = _talk(write, text.encode(), [out, err], end)
                stream.settimeout(max(1.0, end - monotonic()))
                code = _number(stream)
            except BaseException as error:
                with suppress(ProcessLookupError):
                    os.kill(process, SIGKILL)
                stream.settimeout(None)
                _number(stream)
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired(argv, timeout) from None
                raise
            # The same as subprocess does for text.
            texts = [each.decode().replace("\r\n", "\n").replace("\r", "\n") for each in said]
            return subprocess.CompletedProcess(argv, code, *texts)


@cache
def zygote() -> Zygote:
    """The one zygote of this process, started at the first use."""
    return Zygote()


def _read_early(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(READ_LATE)}


def _talk(write: IO[bytes], text: bytes, reads: list[IO[bytes]], end: float) -> list[bytes]:
    """Write `text` and read all that is said, until `end` (TimeoutError)."""
    said: dict[IO[bytes], bytes] = dict.fromkeys(reads, b"")
    os.set_blocking(write.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(write, selectors.EVENT_WRITE)
        for read in reads:
            selector.register(read, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                file = cast(IO[bytes], key.fileobj)
                if file is write:
                    try:
                        text = text[os.write(key.fd, text) :]
                    except BrokenPipeError:
                        # A command need not read its input.
                        text = b""
                    done = not text
                else:
                    piece = os.read(key.fd, 1 << 16)
                    said[file] += piece
                    done = not piece
                if done:
                    selector.unregister(file)
                    file.close()
    return [*said.values()]


def _number(stream: socket.socket) -> int:
    (number,) = NUMBER.unpack(_exactly(stream, NUMBER.size))
    return int(number)


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise EOFError("the zygote has ended")
        data += piece
    return data


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each call; returns in the forked process, with the call. Ends with the test process."""
    streams: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    _report(selector, key, streams)
                    continue
                _, passed, _, _ = socket.recv_fds(control, 1, 4)
                if not passed:
                    os._exit(0)
                *standard, number = passed
                stream = socket.socket(fileno=number)
                process = os.fork()
                if process == 0:
                    # A `fab` may not inherit the files of the zygote: its programs would hold them.
                    for other in (control, *streams.values()):
                        other.close()
                    for descriptor in [other.fd for other in selector.get_map().values() if other.data]:
                        os.close(descriptor)
                    for target, descriptor in enumerate(standard):
                        os.dup2(descriptor, target)
                        os.close(descriptor)
                    with stream:
                        return cast(dict[str, Any], json.loads(_exactly(stream, _number(stream))))
                for descriptor in standard:
                    os.close(descriptor)
                stream.sendall(NUMBER.pack(process))
                watched = os.pidfd_open(process)
                streams[process] = stream
                selector.register(watched, selectors.EVENT_READ, process)


def _report(selector: selectors.BaseSelector, key: selectors.SelectorKey, streams: dict[int, socket.socket]) -> None:
    """Tell the test process how a process ended."""
    selector.unregister(key.fileobj)
    os.close(key.fd)
    _, status = os.waitpid(key.data, 0)
    # The caller may have given up.
    with suppress(OSError), streams.pop(key.data) as stream:
        stream.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _import_warpbeam() -> None:
    sys.path.insert(0, str(PROJECT))
    package = importlib.import_module("warpbeam")
    for module in pkgutil.walk_packages(package.__path__, "warpbeam."):
        importlib.import_module(module.name)
    del sys.path[0]


def main(number: int) -> None:
    """Be the zygote; go on as the script of a call in each process that it forks."""
    # Python puts a script's directory first, and that of `fab` is another than that of this file.
    sys.path[0] = str(Path(sys.executable).parent)
    for name in LIBRARIES:
        importlib.import_module(name)
    _import_warpbeam()
    # A collection would write to all of the memory that the processes share.
    gc.collect()
    gc.freeze()
    call = _serve(socket.socket(fileno=number))
    os.chdir(call["directory"])
    os.environ.clear()
    os.environ.update(call["environ"])
    sys.argv = call["argv"]
    script = Path(sys.argv[0])
    sys.path[0] = str(script.parent)
    Path("/proc/self/comm").write_text(script.name)
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]))
