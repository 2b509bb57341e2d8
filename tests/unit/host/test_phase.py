"""Phases: how parameters reach a script, and how its records come back. The scripts run in a real bash here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpbeam.error import Failed, Lost, Refused
from warpbeam.event import Event, Line, Note, Progress, Step, Warn
from warpbeam.host import script
from warpbeam.host.local import LocalShell, local_shell
from warpbeam.host.phase import Phase
from warpbeam.host.record import Records
from warpbeam.host.run import run
from warpbeam.host.script import READER, render
from warpbeam.shell import OnBytes


class Echo(msgspec.Struct, frozen=True):
    """The parameters that the script of a phase got."""

    text: str
    items: tuple[str, ...]


class Repeat(Phase[Echo], frozen=True):
    """A phase whose script answers with its parameters."""

    script: ClassVar[str] = "repeat"
    answer: ClassVar[type] = Echo
    text: str
    items: tuple[str, ...] = ()
    yes: bool = True


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of scripts: the real common.sh, and a script that tests may replace."""
    (tmp_path / "host").mkdir()
    for part in ("common.sh", "json.sh"):
        (tmp_path / "host" / part).write_text((script.PACKAGE / "host" / part).read_text())
    monkeypatch.setattr(script, "PACKAGE", tmp_path)
    script._source.cache_clear()
    repeat(tmp_path, 'array "${items[@]}"; listed=$REPLY\nanswer text "$text" items: "$listed"')
    return tmp_path


def repeat(scripts: Path, body: str) -> None:
    """Replace the script of `Repeat` by `body`."""
    (scripts / "repeat.sh").write_text(f"#!/bin/bash\n{body}\n")
    script._source.cache_clear()


def perform(asked: Repeat, body: list[bytes] | None = None) -> tuple[Echo, list[Event]]:
    """Run the phase in a real bash; return its answer and its events."""
    told: list[Event] = []
    return run(local_shell(), asked, told.append, body or []), told


# No control characters: JSON escapes a few of them, and the others arrive as blanks.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=80)


@settings(max_examples=25, deadline=None)
@given(text=TEXTS, items=st.lists(TEXTS, max_size=4))
def test_whatever_a_parameter_holds_arrives_as_it_is_and_comes_back(text: str, items: list[str]) -> None:
    answer, _ = perform(Repeat(text, tuple(items)))

    assert answer == Echo(text, tuple(items))


def test_awkward_text_is_data_and_nothing_runs() -> None:
    awkward = "$(touch /tmp/it-ran) `id` '\" \\ \n\t ; & ${x} é漢"

    assert perform(Repeat(awkward, (awkward, "")))[0] == Echo(awkward, (awkward, ""))


def test_a_parameter_with_a_nul_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="NUL"):
        render(Repeat("a\0b"))


def test_progress_is_reported_in_order_and_noise_is_passed_over(scripts: Path) -> None:
    repeat(
        scripts,
        'echo noise; step one; echo \'{"step":"no record"}\'; note found; warn careful\n'
        "line 'a  b'; progress up 1 2\n"
        'printf "noise before "; answer text x items: "[]"',
    )

    answer, told = perform(Repeat("x"))

    assert answer.text == "x"
    assert told == [Step("", "one"), Note("", "found"), Warn("", "careful"), Line("", "a  b"), Progress("", "up", 1, 2)]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1), max_size=5),
    st.lists(st.integers(1, 9)),
)
def test_records_are_found_however_the_stream_is_cut(records: list[dict[str, str]], cuts: list[int]) -> None:
    stream = b"noise\n" + b"".join(b"\x1e" + msgspec.json.encode(record) + b"\n" for record in records)
    reader = Records()
    found = []
    for size in [*cuts, len(stream)]:
        found += list(reader.feed(stream[:size]))
        stream = stream[size:]

    assert found == records


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("refuse 'it may not' 'ask first'", Refused, "it may not"),
        ("fail 'it broke' 'mend it' 'line one' 'line two'", Failed, "it broke"),
        ("exit 7", Failed, "repeat failed with status 7"),
        ("false", Failed, "repeat failed with status 1"),
        ("true", Lost, "repeat ended without an answer"),
        ("kill -9 $$", Lost, "repeat ended without an answer"),
        ('answer text "$undefined"', Failed, "repeat failed with status 1"),
        ("answer other x", Failed, "answered what this Warpbeam does not understand"),
    ],
)
def test_a_script_that_gives_no_answer_says_why(scripts: Path, body: str, error: type[Failed], message: str) -> None:
    repeat(scripts, body)

    with pytest.raises(error, match=message) as raised:
        perform(Repeat("x"))

    assert type(raised.value) is error


def test_a_failure_brings_its_lines_and_a_stray_one_the_place_that_failed(scripts: Path) -> None:
    repeat(scripts, "fail broke mend one two")
    with pytest.raises(Failed) as raised:
        perform(Repeat("x"))
    assert (raised.value.hint, raised.value.details) == ("mend", ("one", "two"))

    repeat(scripts, "ls /no/such/place")
    with pytest.raises(Failed) as raised:
        perform(Repeat("x"))
    assert any("ls /no/such/place" in line for line in raised.value.details)


def test_a_script_that_is_cut_in_the_middle_runs_none_of_it(tmp_path: Path) -> None:
    repeat(tmp_path, f"touch {tmp_path}/ran; answer text x items: '[]'")
    whole = render(Repeat("x"))

    for end in (5, 20, 30, 40, len(whole) // 2, len(whole) - 5, len(whole) - 2):
        local_shell().execute(READER, [whole[:end]], lambda _: None, lambda _: None)

    assert not (tmp_path / "ran").exists()


# Commands of a login's startup files that run before the command, or in place of it.
STARTUP = ("read x", "read x; read y; read z", "head -c 1000 >/dev/null", "cat", "exit 0", "exec dash")


@pytest.mark.parametrize("startup", [*STARTUP, "read x; exec dash", "exec python3", "exec cat"])
def test_what_was_sent_runs_whole_or_nothing_of_it_and_that_is_reported(
    scripts: Path, tmp_path: Path, startup: str
) -> None:
    repeat(scripts, f"touch {tmp_path}/ran; answer text x items: '[]'")
    shell = Login(startup)

    with pytest.raises(Refused, match="the login did not run what was sent") as raised:
        run(shell, Repeat("a secret"), print, [f"touch {tmp_path}/body\n".encode()])

    assert "~/.bashrc" in raised.value.hint
    assert "a secret" not in str(raised.value.details)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "body").exists()


class Login(LocalShell):
    """This machine, with a login whose bash does something before each command that it is given."""

    def __init__(self, startup: str) -> None:
        super().__init__(None)
        self._startup = startup

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """See `LocalShell.execute`."""
        login = shlex.join(["bash", "-c", f"{self._startup}\n{command}"])
        return super().execute(login, chunks, on_stdout, on_stderr)


@pytest.mark.parametrize("startup", ["echo noise", "trap 'echo bye; exit 3' EXIT", "set -u", "export BASH_ENV=/x"])
def test_a_login_that_only_talks_is_passed_over(startup: str) -> None:
    assert run(Login(startup), Repeat("x"), print).text == "x"


def test_what_said_its_answer_elsewhere_is_not_taken_for_what_never_began() -> None:
    with pytest.raises(Lost, match="repeat ended without an answer"):
        run(Login("exec 1>&2"), Repeat("x"), print)


def test_what_a_login_said_in_place_of_running_it_is_shown() -> None:
    with pytest.raises(Refused) as raised:
        run(Login("echo This account is currently not available.; exit 1"), Repeat("x"), print)

    assert raised.value.details == ("This account is currently not available.",)
    assert "(status 1)" in raised.value.message


def test_output_that_goes_to_a_file_runs_nothing(scripts: Path, tmp_path: Path) -> None:
    repeat(scripts, f"touch {tmp_path}/ran; answer text x items: '[]'")

    with pytest.raises(Refused, match="its standard output is a file or a device"):
        run(Login("exec >/dev/null"), Repeat("x"), print)

    assert not (tmp_path / "ran").exists()


def test_a_file_that_bash_should_run_first_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("exit 0\n")
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "env"))

    assert perform(Repeat("x"))[0].text == "x"


def test_scripts_are_sent_alike_whatever_the_locale_of_the_person() -> None:
    code = "from warpbeam.host.script import PACKAGE, _source; "
    code += "names = [str(file.relative_to(PACKAGE).with_suffix('')) for file in sorted(PACKAGE.rglob('*.sh'))]; "
    code += "print(ascii([_source(name, True) for name in names]))"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def sent(**variables: str) -> bytes:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=True).stdout

    assert sent(**plain) == sent(PYTHONUTF8="1")


def test_a_body_follows_the_script_on_its_input(scripts: Path) -> None:
    repeat(scripts, 'answer text "$(cat)" items: "[]"')

    assert perform(Repeat("x"), [b"the ", b"body"])[0].text == "the body"


def test_what_a_script_leaves_of_its_body_is_never_run(scripts: Path, tmp_path: Path) -> None:
    repeat(scripts, 'answer text "x" items: "[]"')

    answer, _ = perform(Repeat("x"), [f"touch {tmp_path}/ran\n".encode()])

    assert answer.text == "x"
    assert not (tmp_path / "ran").exists()


# Answers of new types, each by four threads at once: msgspec analyses a type at its first use.
AT_ONCE = '''
from __future__ import annotations

import sys
import threading
from typing import ClassVar

import msgspec

from warpbeam.host.phase import Phase
from warpbeam.host.run import run

TEXT = """
class Inner(msgspec.Struct):
    number: int
    texts: dict[str, str]

class Answer(msgspec.Struct):
    one: Inner
    many: tuple[Inner, ...]

class Ask(Phase[Answer], frozen=True):
    script: ClassVar[str] = "operate/boot_id"
    answer: ClassVar[type] = Answer
"""


class Ready:
    name = "web1"

    def execute(self, command, chunks, heard, complained):
        meeting.wait()
        heard(b\'\\x1e{"answer":{"one":{"number":1,"texts":{}},"many":[{"number":2,"texts":{"a":"b"}}]}}\\n\')
        return 0


sys.setswitchinterval(1e-6)
meeting = threading.Barrier(4)
for _ in range(200):
    exec(TEXT)
    threads = [threading.Thread(target=run, args=(Ready(), Ask(), print)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("all answered")
'''


def test_hosts_that_answer_at_once_for_the_first_time_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False, timeout=100)

    assert (done.returncode, done.stdout) == (0, "all answered\n"), done.stderr
