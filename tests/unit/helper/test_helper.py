"""The privileged helper as it is put together: each verb has its parts, and runs as soon as they are read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from warpbeam.helper.program import SUDO_VERBS, VERB_PARTS, program
from warpbeam.host.facts import HelperAnswer, Instance
from warpbeam.host.template import TEMPLATES, shared

PROJECT = Path(__file__).parents[3]
HEAD = (TEMPLATES / "helper.sh.j2").read_text()
FUNCTION = re.compile(r"^([a-z_]+)\(\)", re.MULTILINE)
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
KEYWORD = r"(?:if|then|else|elif|do|while|until|exec|local|trap)\b"
# The places of a command: at the beginning of a line or of a substitution, or after an operator or a keyword.
CALL = re.compile(rf"(?:^|[;&|({{!]|\b{KEYWORD}) *\"?(?!{KEYWORD})([a-z_]+)(?=[ ;)\n])", re.MULTILINE)
ALL_PARTS = {part for parts in VERB_PARTS.values() for part in parts}
ALL_FUNCTIONS = {name for text in (HEAD, *map(shared, ALL_PARTS)) for name in FUNCTION.findall(text)}
# Verbs that `serve` runs by name.
SERVED = ("start", "stop", "abandon", "switch", "drain", "undrain", "reconcile")


def missing(text: str) -> set[str]:
    """Return the functions of the helper that `text` calls and does not define."""
    return {*CALL.findall(COMMENT.sub("", text))} & ALL_FUNCTIONS - {*FUNCTION.findall(text)}


def test_every_verb_that_sudo_allows_has_parts() -> None:
    assert sorted(VERB_PARTS) == sorted(SUDO_VERBS)


@pytest.mark.parametrize("verb", VERB_PARTS)
def test_the_parts_of_a_verb_define_each_function_that_they_call(verb: str) -> None:
    text = HEAD + "".join(map(shared, VERB_PARTS[verb]))

    assert f"\nverb_{verb}() {{" in text
    assert missing(text) == set()


@pytest.mark.parametrize("verb", VERB_PARTS)
def test_a_verb_has_no_part_that_defines_nothing_for_it(verb: str) -> None:
    for part in VERB_PARTS[verb]:
        others = HEAD + "".join(shared(other) for other in VERB_PARTS[verb] if other != part)
        called = {*CALL.findall(COMMENT.sub("", others)), f"verb_{verb}", *(f"verb_{one}" for one in SERVED)}
        assert called & {*FUNCTION.findall(shared(part))}, part


@pytest.mark.parametrize("verb", VERB_PARTS)
def test_all_that_a_verb_calls_is_read_before_it_runs(verb: str) -> None:
    before, dispatched, _ = program(HEAD).partition(f"\nif [[ $verb == {verb} ]]; then verb_{verb}; exit; fi\n")

    assert dispatched
    assert f"\nverb_{verb}() {{" in before
    assert missing(before) == set()


def test_serve_has_every_verb_that_it_runs() -> None:
    text = "".join(map(shared, VERB_PARTS["serve"]))

    assert f"      {' | '.join(SERVED)}) ;;\n" in text
    assert [verb for verb in SERVED if f"\nverb_{verb}() {{" not in text] == []


def test_each_part_is_in_the_program_once_and_each_file_of_the_helper_is_a_part() -> None:
    text = program(HEAD)
    files = {f"helper/{file.stem}" for file in (PROJECT / "warpbeam" / "helper").glob("*.sh")}

    assert [part for part in ALL_PARTS if text.count(shared(part)) != 1] == []
    assert files == {part for part in ALL_PARTS if part.startswith("helper/")}
    assert sorted(FUNCTION.findall(text)) == sorted({*FUNCTION.findall(text)})


def test_the_head_is_all_that_a_verb_of_a_deploy_waits_for() -> None:
    """bash parses a script as it runs it: what stands before `ready` costs each deploy its time."""
    before, _, _ = program(HEAD).partition("\nif [[ $verb == serve ]]")

    assert list(VERB_PARTS)[:4] == ["ready", "activate", "version", "serve"]
    for part in ("helper/status", "helper/logs", "helper/beside", "helper/maintenance"):
        assert shared(part) not in before


def test_the_parts_of_the_helper_are_bash_without_jinja() -> None:
    assert [part for part in ALL_PARTS if re.search(r"\{\{|\{%", shared(part))] == []


def answer(verb: str, script: str, line: str = "") -> HelperAnswer:
    """Return the answer of a verb whose programs are replaced by functions in `script`."""
    texts = "".join(map(shared, VERB_PARTS[verb]))
    settings = (
        "set -euo pipefail; export LC_ALL=C; VERSION=10 app=hello root=/opt/acme/hello ETC=/nowhere ADMITTED=/nowhere"
    )
    settings += " VERSION_VARIABLE=RELEASE_VSN"
    done = subprocess.run(
        ["bash", "-c", f"{settings}\n{texts}\n{script}\nverb_{verb}"],
        input=f"{line}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return msgspec.json.decode(done.stdout, type=HelperAnswer)


@pytest.mark.parametrize(("line", "some"), [("", False), ("a", True)])
def test_ready_answers_json_with_the_memory_of_the_slot_that_is_asked_for(line: str, some: bool) -> None:
    said = answer("ready", "property() { echo $$; }", line)

    assert (said.version, said.activating, said.maintenance) == ("10", False, False)
    # The memory of this very bash.
    assert (said.memory > 500_000) is some


# The answers of systemd about a slot that runs, one that was never used, and the activation.
SHOWN = """ActiveState=active
SubState=running
MainPID=$pid
NRestarts=2
ExecMainStartTimestamp=@1795770000
ExecMainStartTimestampMonotonic=1000000
ActiveExitTimestampMonotonic=2000000

ActiveState=inactive
SubState=dead
MainPID=0
NRestarts=0
ExecMainStartTimestamp=
ExecMainStartTimestampMonotonic=0
ActiveExitTimestampMonotonic=0

ActiveState=activating"""


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("1.0.0-rc.1+b_2", "1.0.0-rc.1+b_2"),
        ("1@2", "12"),
        ("-" * 255, "-" * 100),
        ('1","pid":5,"x":"', ""),
        ("1 2", ""),
        ("x" * 256, ""),
        ("", ""),
    ],
    ids=["plain", "odd sign", "long", "JSON", "two words", "too long", "empty"],
)
def test_status_answers_json_whatever_the_app_says_of_itself(version: str, shown: str) -> None:
    table = "tcp dport 80 redirect to :4001\ntcp dport 80 redirect to :4001\nudp dport 53 redirect to :4002"
    with subprocess.Popen(["sleep", "60"], env={"RELEASE_VSN": version, "PATH": os.environ["PATH"]}) as process:
        script = f"pid={process.pid}; nft() {{ printf '{table}\\n'; }}; systemctl() {{ printf '%s\\n' \"{SHOWN}\"; }}"
        try:
            said = answer("status", script)
        finally:
            process.kill()

    assert (said.version, said.activating, said.redirect) == ("10", True, (4001, 4002))
    assert said.slots["b"] == Instance(state="inactive", substate="dead")
    runs = said.slots["a"]
    assert (runs.state, runs.substate, runs.pid, runs.restarts) == ("active", "running", process.pid, 2)
    assert (runs.started, runs.version, runs.release) == (1_795_770_000, shown, "")
    assert runs.memory > 100_000
    assert runs.age is not None
    assert runs.ended_ago in (runs.age - 1, runs.age - 2)


class Running:
    """A process in a slot, and the functions of the helper that record and read what it runs."""

    def __init__(self, place: Path, within: str) -> None:
        self.root = place / "app"
        for directory in (f"releases/{RELEASE}", f"releases/{OTHER}", "slots", "elsewhere"):
            (self.root / directory).mkdir(parents=True)
        (self.root / "slots" / "a").symlink_to(f"../releases/{RELEASE}")
        parts = ("host/release_rules", "host/instance", "helper/process", "helper/instance")
        text = "".join(map(shared, parts)).replace("/run/warpbeam-$app", f"{place}/run")
        self.settings = (
            f"set -euo pipefail; export LC_ALL=C; app=x root={self.root} ADMITTED={self.root}.admitted\n{text}\n"
        )
        self.file = place / "run" / "slot-a"
        self.process = subprocess.Popen(["sleep", "60"], cwd=self.root / within)

    def ask(self, script: str) -> tuple[str, str]:
        """Run a script; return what it printed on standard output and on standard error."""
        # There is no control group of the slot, and so systemd is asked for its main process.
        stub = f"systemctl() {{ echo {self.process.pid}; }}\nmain_process() {{ return 1; }}\n"
        text = (self.settings + stub + script).replace("exec systemctl", "systemctl")
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
        return done.stdout.strip(), done.stderr

    def record(self) -> None:
        """Record the process as `start` does."""
        assert self.ask("read_links; record_instance a") == ("", "")

    def release(self) -> tuple[str, str]:
        """Return the release that the process was started in, and what is printed beside it."""
        return self.ask(f'release_of a {self.process.pid}; echo "$REPLY"')


RELEASE, OTHER = "20260101T000000Z", "20260102T000000Z"


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A process of slot a, in the directory that the test names."""
    found = Running(tmp_path, request.param)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


@pytest.mark.parametrize("running", ["elsewhere"], indirect=True)
def test_the_record_says_what_runs_where_the_process_has_left_its_release(running: Running) -> None:
    assert running.release() == ("", "")

    running.record()

    pid, birth, release = running.file.read_text().split()
    assert (int(pid), release) == (running.process.pid, RELEASE)
    assert birth.isdigit()
    assert running.release() == (RELEASE, "")
    # A later change of the links changes nothing.
    (running.root / "slots" / "a").unlink()
    (running.root / "slots" / "a").symlink_to(f"../releases/{OTHER}")
    assert running.release() == (RELEASE, "")


@pytest.mark.parametrize("running", ["elsewhere"], indirect=True)
def test_a_record_of_another_process_or_of_no_release_counts_for_nothing(running: Running) -> None:
    running.record()
    pid, birth, _ = running.file.read_text().split()

    for record in (
        f"{pid} {int(birth) + 1} {RELEASE}\n",
        f"1 {birth} {RELEASE}\n",
        f"{pid} {birth} ../../etc\n",
        f"{pid} {birth}\n",
        "\n",
        "",
    ):
        running.file.write_text(record)
        assert running.release() == ("", ""), record


@pytest.mark.parametrize("running", [f"releases/{OTHER}"], indirect=True)
def test_where_the_kernel_says_another_release_its_word_counts_and_that_is_printed(running: Running) -> None:
    # The kernel's word counts from the beginning: the link may have been changed during the start.
    running.record()
    assert running.release() == (OTHER, "")
    pid, birth, _ = running.file.read_text().split()
    running.file.write_text(f"{pid} {birth} {RELEASE}\n")

    release, printed = running.release()

    assert release == OTHER
    assert printed == (
        f"warpbeam-helper: slot a was started in {RELEASE}, but its main process {pid} is in {OTHER} now\n"
    )
