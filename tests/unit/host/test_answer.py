"""Answers of hosts: every field of every answer is bounded; an answer that does not fit is a problem of that host."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import warpbeam
from tests.unit.deploy.test_plan import INVENTORY, NOW, artifact, facts
from warpbeam.build.artifact import Item, Toolchain
from warpbeam.build.release import Built
from warpbeam.deploy.cancel import Ending
from warpbeam.deploy.finish import Finished
from warpbeam.deploy.fitting import to_all
from warpbeam.deploy.follow import Activated
from warpbeam.deploy.freeze import Locked
from warpbeam.deploy.history import Entry
from warpbeam.deploy.lock import Claim
from warpbeam.deploy.migrate import Migrated
from warpbeam.deploy.plan_deploy import plan_deploy
from warpbeam.deploy.plan_rollback import plan_rollback
from warpbeam.deploy.target import _agreed_live
from warpbeam.deploy.upload import Upload, Uploaded, check_lacks
from warpbeam.doctor.examine import Disk, Examination, Listener, Login
from warpbeam.error import Damaged, Failed, Held, Lost, Refused
from warpbeam.event import Event, Progress, Warn
from warpbeam.host.answer import MESSAGE, explained
from warpbeam.host.facts import About, HelperAnswer, Holder, HostFacts, Instance, Release
from warpbeam.host.login_output import BEGUN
from warpbeam.host.phase import Phase
from warpbeam.host.run import run
from warpbeam.host.script import render
from warpbeam.network.firewall import Table
from warpbeam.operate.maintenance import Shown
from warpbeam.operate.power import Powered
from warpbeam.operate.reboot import Booted, Serving
from warpbeam.operate.status import AppStatus, ReadStatus
from warpbeam.provision.environment_files import secrets_text, variables_text
from warpbeam.provision.host_state import HostState, PathState, UserState
from warpbeam.provision.secret_file import SecretsState
from warpbeam.ssh.channel import Process
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.store import PutLive

# The rules for an artifact's files go beyond types; they are checked where an artifact is downloaded and unpacked.
ELSEWHERE = (Item,)
NAME = "20261123T120000Z"
DIGEST = "0" * 64
ABOUT = {
    "version": "1.0",
    "commit": "a" * 40,
    "subject": "s",
    "tree": "b" * 40,
    "sha256": DIGEST,
    "dirty": False,
    "release": "hello",
}
RELEASE = {"name": NAME, "mark": "healthy", "artifact": ABOUT}
FACTS = {
    "cpu": "x86_64",
    "libc": "glibc 2.36",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "libcrypto": ["libcrypto.so.3"],
    "free": 1,
    "inodes": -1,
    "memory": 1,
    "live": "a",
    "slots": {"a": NAME, "b": ""},
    "releases": [RELEASE],
    "base": NAME,
    "lacks": [0, 2],
    "helper": {"version": "8", "activating": False, "maintenance": False, "memory": 4096},
    "previous": "",
    "lock": None,
    "activating": False,
}
INSTANCE = {
    "state": "active",
    "substate": "running",
    "pid": 7,
    "restarts": 0,
    "started": 1_795_770_000,
    "age": 60,
    "ended_ago": None,
    "memory": 70_000_000,
    "release": NAME,
    "version": "1.0",
}
HELPER = {
    "version": "8",
    "activating": False,
    "maintenance": False,
    "redirect": [4001],
    "slots": {"a": INSTANCE, "b": {**INSTANCE, "state": "inactive", "pid": 0, "age": None, "release": ""}},
}
STATE = {
    "helper": HELPER,
    "live": "a",
    "slots": {"a": NAME},
    "health": "healthy",
    "releases": [RELEASE],
    "lock": None,
}
PATH = {"kind": "regular file", "mode": "644", "owner": "root", "group": "root", "sha256": DIGEST}
USER = {"uid": "0", "home": "/root", "shell": "/bin/bash", "group": "root", "groups": ["adm"]}
FOUND = {
    "missing": [],
    "users": {"deploy": USER},
    "paths": {"/etc/x": PATH},
    "enabled": ["hello.service"],
    "cookie": "",
}
TOOLS = {"elixir": "1.14.0", "otp": "25.2.3", "cpu": "x86_64", "libc": "glibc 2.36", "os": "Debian 12"}
BUILT = {
    "version": "1.0",
    "erts": "13.1",
    "libcrypto": "",
    "tarball": "/opt/acme/hello/build/k.tar.gz",
    "sha256": DIGEST,
    "size": 1,
    "files": [],
    "directories": ["lib/empty"],
    "names_node": False,
}
TABLE = {
    "text": "",
    "leads": {"80": "4001"},
    "live": "a",
    "kept": True,
    "maintenance": False,
    "filter": "off",
    "others": [],
    "connections": 0,
    "tracked": 0,
    "most": 0,
}
SEEN: dict[str, Any] = {
    "disks": [{"mount": "/", "size": 1, "free": 1, "inodes": 0, "inodes_free": 0}],
    "writable": "",
    "limits": {"opened": 0, "may_open": 0, "tracked": 0, "may_track": 0},
    "listeners": [{"port": 22, "address": "[::]", "program": "sshd", "unit": "ssh.service"}],
    "tables": [],
    "restarts": [],
    "logins": [{"name": "admin", "means": "key"}],
    "proc": "rw,nosuid",
    "me": "admin",
    "secrets": None,
    "cookie": None,
    "reload": [],
    "live": "a",
    "clock": "1790000000.123456789",
}
ENTRY = {"at": "2026-11-23T12:00:00Z", "what": "deploy", "outcome": "done", "release": NAME}
ACTIVATED = {"slot": "a", "release": NAME, "left": "", "pid": 7, "seconds": 3}
# Answers that fit, by their type.
WELL: dict[Any, dict[str, Any]] = {
    HostFacts: FACTS,
    Release: RELEASE,
    About: ABOUT,
    AppStatus: STATE,
    HelperAnswer: HELPER,
    Instance: INSTANCE,
    HostState: FOUND,
    PathState: PATH,
    UserState: USER,
    Toolchain: TOOLS,
    Built: BUILT,
    Table: TABLE,
    Examination: SEEN,
    Disk: SEEN["disks"][0],
    Listener: SEEN["listeners"][0],
    Login: SEEN["logins"][0],
    Entry: ENTRY,
    Activated: ACTIVATED,
    Ending: {"failed": {"message": "m"}},
    Uploaded: {"files": 1},
    Finished: {"pruned": [NAME]},
    Migrated: {"status": 0},
    Locked: {"before": None, "holder": {"who": "a@b"}, "frozen": False, "left": 3},
    Holder: {"who": "a@b"},
    SecretsState: {"text": "A=(hidden, 00000000)\n"},
    Shown: {"verb": "on", "said": "503", "left": 0, "release": NAME},
    Powered: {"release": NAME, "state": "active"},
    Booted: {"boot": "01234567-89ab-cdef-0123-456789abcdef", "left": 0},
    Serving: {"release": ""},
}
PLACES = ("../x", "a/b", "/etc/passwd", "x\n", f"{NAME}\n", f"\n{NAME}", "20269923T120000Z", "$(id)", 5, None, ["a"])
NUMBERS = (-2, 2**53, 2**64, 10**400, 1.5, "1", True, None)
IDS = ("main", "-x", "HEAD", "a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n", "a" * 65, "refs/heads/x", None)
LONG = "x" * 5_000_000
# Values that do not fit, by type and field.
BREACHES: list[tuple[Any, str, tuple[Any, ...]]] = [
    (HostFacts, "cpu", ("", "x86_64\n", "x86 64", "x" * 33, 5)),
    (HostFacts, "libc", ("", " ", "glibc 2.36\n", "glibc \xb2", "x" * 300)),
    (HostFacts, "os", ("a\nb", "\x1b]52;c;x\x07", "\x9b31m", LONG)),
    (HostFacts, "libcrypto", (["../x"], ["a b"], {"a": 1}, ["x"] * 1001)),
    *((HostFacts, field, NUMBERS) for field in ("free", "inodes", "memory")),
    (HostFacts, "live", ("c", "a\n", "ab", None)),
    (HostFacts, "slots", ({"c": NAME}, {"a": "../x"}, {"a\n": NAME}, [], {"a": None})),
    (HostFacts, "lacks", ([-1], [2**53], ["0"], [True], [0.5])),
    *((HostFacts, field, PLACES) for field in ("base", "previous")),
    (HostFacts, "helper", ("helper 8", None, [], {}, {**HELPER, "version": "eight"}, LONG)),
    (HelperAnswer, "version", ("x", "8\n", "9" * 7, 8, None)),
    *((HelperAnswer, field, ("no", 1, None)) for field in ("activating", "maintenance")),
    (HelperAnswer, "memory", NUMBERS),
    (HelperAnswer, "redirect", (["80;x"], [-1], [70_000], "80", [80] * 1001)),
    (HelperAnswer, "slots", ({"c": INSTANCE}, {"a\n": INSTANCE}, [INSTANCE], {"a": {**INSTANCE, "pid": "x"}})),
    *((Instance, field, ("x\n", "<b>", LONG, 5)) for field in ("state", "substate")),
    *((Instance, field, NUMBERS) for field in ("pid", "restarts", "memory", "started")),
    *((Instance, field, NUMBERS[:-1]) for field in ("age", "ended_ago")),
    (Instance, "started", (253_402_300_800,)),
    (Instance, "release", PLACES),
    (Instance, "version", ("$(id)", "1.0\n", "x" * 101, 5)),
    (HostFacts, "activating", ("no", 1)),
    (HostFacts, "lock", (5, {"who": 5}, {"who": "\0"}, {"who": LONG})),
    (Release, "name", PLACES),
    (Release, "mark", ("live", "healthy\n", LONG)),
    (About, "version", ("1.0\n", "1;id", "$(id)", "../x", "x" * 129, "-x", 1)),
    (About, "commit", IDS),
    (About, "tree", IDS),
    (About, "sha256", ("0" * 63, "0" * 64 + "\n", "x", 5)),
    (About, "release", ("../x", "hello\n", "a b", "$(id)", "Hello", "x" * 32, 5)),
    (About, "subject", ("\0", LONG, 5)),
    (AppStatus, "helper", ("slot", {**HELPER, "slots": {"a": {**INSTANCE, "release": "../x"}}})),
    (AppStatus, "health", ("\0", LONG, 7, None)),
    (HostState, "cookie", ("abc\nERL_FLAGS=-eval x", "abc\n", "\nabc", "a b", "a'b", "$(id)", "x" * 256, "\x00", None)),
    (HostState, "paths", ({"etc/x": PATH}, {"/etc/\n": PATH}, {"/etc/x": {**PATH, "mode": "999"}}, [PATH])),
    (HostState, "users", ({"a b": USER}, {"a\n": USER})),
    (HostState, "helper", ("8\n", "eight", "9" * 7)),
    (HostState, "installer", ("apt\n", "sh", "pacman")),
    (HostState, "started", NUMBERS),
    (HostState, "ssh", (-1, 65536, "22", None)),
    (HostState, "belongs", ("a\nb", LONG)),
    (HostState, "shared", (["x"], ["/a\n"])),
    (PathState, "kind", ("a;b", "X", "a\n")),
    (PathState, "mode", ("rwx", "7777777", "", "644\n")),
    (PathState, "owner", ("a b", "a\nb")),
    (PathState, "sha256", ("x", DIGEST + "\n")),
    (UserState, "uid", ("-1", "x", "1\n")),
    (Toolchain, "elixir", ("1.14\n", "1.14 x", "$(id)")),
    (Toolchain, "otp", ("25\n", "/", "x" * 200)),
    (Built, "tarball", ("x", "/a\nb", "-rf", "/" + "x" * 5000)),
    (Built, "size", NUMBERS),
    (Built, "directories", ("lib", [5], ["a\0b"], [LONG])),
    (Built, "erts", ("../x", "13\n")),
    (Built, "libcrypto", ("/lib/x", "a b")),
    (Table, "leads", ({"80": "4001; flush ruleset"}, {"80\n": "1"}, {"x": "1"}, {"0": "1"}, {"80": 4001})),
    (Table, "filter", ("of", "on\n")),
    (Table, "tracked", NUMBERS),
    (Examination, "clock", ("nan", "inf", "-1.0", "1e9", "", "1\n", 5)),
    (Examination, "proc", ("a\nb",)),
    (Disk, "size", NUMBERS),
    (Listener, "port", (-1, 70000, "22")),
    (Login, "name", ("a b", "a\x1b[1m")),
    (Entry, "at", ("now", "2026-11-23T12:00:00Z\n", 5)),
    (Entry, "outcome", ("done\n", "<b>", LONG)),
    (Entry, "release", PLACES[:-3]),
    (Entry, "commit", IDS[:-1]),
    (Entry, "seconds", (-1, 1e30, "1", float("nan"), float("inf"))),
    (Activated, "slot", ("", "c", "a\n")),
    (Activated, "release", PLACES[:-3]),
    (Activated, "cut", NUMBERS),
    (Ending, "failed", ({}, {"message": 5}, {"message": "\0"}, "x")),
    (Uploaded, "files", NUMBERS),
    (Finished, "pruned", (["../x"], "x", [NAME] * 1001)),
    (Migrated, "status", (-1, 256, "0")),
    (Locked, "left", (2**53, "1", 1.5)),
    (SecretsState, "text", ("\0", LONG, 5)),
    (Shown, "verb", ("on\n", "maybe")),
    (Shown, "said", ("ok", "503\n", "1" * 10)),
    (Shown, "left", NUMBERS),
    (Powered, "state", ("active\n", "x" * 61)),
    (Booted, "boot", ("x", "01234567-89ab-cdef-0123-456789abcdef\n")),
    (Serving, "release", PLACES[:-3]),
]


class HostileShell:
    """A host that sends any bytes it likes."""

    name = "web2"

    def __init__(self, *said: bytes, status: int = 0) -> None:
        self.said, self.status = said, status

    def open(self) -> None:
        """Connect at once."""

    def interrupt(self) -> None:
        """Do nothing: there is no command to end."""

    def execute(
        self,
        command: str,
        stdin: Iterator[bytes],
        on_stdout: Callable[[bytes], None],
        on_stderr: Callable[[bytes], None],
    ) -> int:
        """Read the script without running it, and answer."""
        assert list(stdin)
        for piece in self.said:
            on_stdout(piece)
        return self.status


def answered(phase: Phase[Any], *records: object, raw: bytes = b"") -> tuple[Any, list[Event]]:
    """Return the answer and the events of a phase whose host sends those records."""
    told: list[Event] = []
    said = b"".join(b"\x1e" + msgspec.json.encode(record) + b"\n" for record in records) + raw
    return run(HostileShell(said), phase, told.append), told  # type: ignore[arg-type]


CLAIM = Claim(
    root="/opt/acme/hello",
    app="hello",
    helper="/helper",
    token="",
    lease=90,
    text="",
    words="",
    take=False,
    weigh=False,
    environment="stage",
    suspects="/none",
)


def test_every_answer_that_fits_is_taken() -> None:
    for kind, said in WELL.items():
        msgspec.convert(said, kind)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        pytest.param(kind, field, value, id=f"{kind.__name__}.{field}-{number}")
        for kind, field, values in BREACHES
        for number, value in enumerate(values)
    ],
)
def test_a_field_that_does_not_fit_is_refused_and_named(kind: Any, field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({**WELL[kind], field: value}, kind)

    said = explained(str(raised.value))
    assert said.startswith((f"$.{field}", f"key in $.{field}"))
    assert len(said) < 400
    assert said.isprintable()


def test_every_type_has_its_breaches() -> None:
    assert {kind for kind, _, _ in BREACHES} == WELL.keys() - {Holder}


def test_no_field_of_any_answer_is_without_a_pattern_or_a_bound() -> None:
    for module in pkgutil.walk_packages(warpbeam.__path__, "warpbeam."):
        importlib.import_module(module.name)
    phases = [phase for phase in _below(Phase) if phase.__module__.startswith("warpbeam.") and hasattr(phase, "answer")]
    assert len(phases) > 20
    loose = {f"{phase.__name__}: {where}" for phase in phases for where in _loose(phase.answer, "$")}
    loose |= {f"{kind.__name__}: {where}" for kind in (Entry, Holder, About) for where in _loose(kind, "$")}
    assert loose == set()


def _below(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _loose(kind: Any, where: str) -> Iterator[str]:
    """Yield the places in a type that may hold any value, or a value of any length."""
    if kind in ELSEWHERE:
        return
    yield from _loose_info(inspect.type_info(kind), where)


def _loose_info(info: inspect.Type, where: str) -> Iterator[str]:  # noqa: PLR0912 (a case for each kind of type)
    match info:
        case inspect.Metadata(type=inner):
            yield from _loose_info(inner, where)
        case inspect.StructType(cls=cls, fields=fields):
            if cls not in ELSEWHERE:
                for field in fields:
                    yield from _loose_info(field.type, f"{where}.{field.name}")
        case inspect.StrType(pattern=pattern):
            if pattern is None or not (pattern.startswith(r"\A") and pattern.endswith(r"\Z")):
                yield where
            elif info.max_length is None and "*" in pattern.replace(r"\n", ""):
                yield f"{where} (no bound)"
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            if least is None or most is None:
                yield where
        case inspect.VarTupleType(item_type=item, max_length=most) | inspect.ListType(item_type=item, max_length=most):
            if most is None:
                yield where
            yield from _loose_info(item, f"{where}[]")
        case inspect.DictType(key_type=key, value_type=value, max_length=most):
            if most is None:
                yield where
            yield from _loose_info(key, f"{where} key")
            yield from _loose_info(value, f"{where}{{}}")
        case inspect.UnionType(types=types):
            member: inspect.Type
            for member in types:
                yield from _loose_info(member, where)
        case inspect.BoolType() | inspect.NoneType() | inspect.LiteralType():
            pass
        case _:
            yield f"{where} is {info}"


def test_what_does_not_fit_is_that_hosts_problem_and_says_which_phase_and_field() -> None:
    with pytest.raises(Failed) as raised:
        answered(CLAIM, {"answer": {**FACTS, "base": "../../etc\x1b[2J"}})

    said = raised.value.message
    assert said.startswith("web2: claim answered what this Warpbeam does not understand: $.base: expected a release")
    assert "etc" not in said


@pytest.mark.parametrize(
    "ending",
    [
        {"refused": 5},
        {"refused": {}},
        {"refused": {"message": 5}},
        {"refused": {"message": "m", "hint": 5}},
        {"refused": {"message": "m", "lines": [5]}},
        {"refused": {"message": "m", "lines": "abc"}},
        {"refused": {"message": "m", "kind": []}},
        {"failed": None},
        {"failed": []},
        {"failed": {"message": {"a": 1}}},
        {"answer": None},
        {"answer": []},
        {"answer": "x"},
        {"answer": {**FACTS, "releases": {}}},
        {"answer": {**FACTS, "releases": [5]}},
        {"answer": {**FACTS, "releases": [{"name": 5}]}},
    ],
)
def test_an_ending_of_no_known_form_is_that_hosts_problem(ending: object) -> None:
    with pytest.raises(Failed, match="web2: claim answered what this Warpbeam does not understand: "):
        answered(CLAIM, ending)


def test_what_a_refusal_says_is_cut_and_holds_no_nul() -> None:
    with pytest.raises(Held) as raised:
        answered(
            CLAIM,
            {
                "refused": {
                    "message": "a\0b" + LONG[:10_000],
                    "hint": LONG[:10_000],
                    "lines": [LONG[:10_000]] * 300,
                    "kind": "held",
                }
            },
        )

    refused = raised.value
    assert refused.message.startswith("web2: a b")
    assert len(refused.message) < MESSAGE + 10
    assert len(refused.hint) <= MESSAGE + 1
    assert sum(map(len, refused.details)) <= 200 * (MESSAGE + 1)


def test_a_kind_of_refusal_that_is_not_known_is_an_ordinary_one() -> None:
    for kind, error in (("damaged", Damaged), ("other", Failed), ("__class__", Failed)):
        with pytest.raises(Failed) as raised:
            answered(CLAIM, {"failed": {"message": "m", "kind": kind}})
        assert type(raised.value) is error


@pytest.mark.parametrize(
    "raw",
    [
        b"\x1e" + b"[" * 200_000 + b"\n",
        b'\x1e{"answer":' + b'{"a":' * 100_000 + b"\n",
        b'\x1e{"answer":NaN}\n',
        b'\x1e{"answer":1e999}\n',
        b'\x1e{"answer":"\\ud800"}\n',
        b'\x1e"answer"\n\x1e["answer"]\n\x1enull\n\x1e5\n',
    ],
)
def test_what_is_no_record_is_passed_over(raw: bytes) -> None:
    with pytest.raises(Lost, match="web2: claim ended without an answer"):
        answered(CLAIM, raw=BEGUN + raw)


def test_impossible_progress_is_not_shown_and_words_are_cut() -> None:
    _, told = answered(
        CLAIM,
        {"progress": "x", "done": -1, "total": 2},
        {"progress": "x", "done": 3, "total": 2},
        {"progress": "x", "done": 1, "total": 10**30},
        {"progress": 5, "done": 1, "total": 2},
        {"step": 5},
        {"note": ["x"]},
        {"line": LONG[:10_000]},
        {"progress": "x", "done": 1, "total": 2},
        {"answer": FACTS},
    )

    line, progress = told
    assert len(getattr(line, "text", "")) <= MESSAGE + 1
    assert progress == Progress("web2", "x", 1, 2)


def test_what_lies_beside_one_release_keeps_nobody_from_the_host() -> None:
    wrongs: tuple[Any, ...] = ({"commit": "main"}, {"version": 5}, [], None, "x")
    for wrong in wrongs:
        releases = [{**RELEASE, "artifact": wrong}, {**RELEASE, "name": "20261124T120000Z"}]

        found, told = answered(CLAIM, {"answer": {**FACTS, "releases": releases}})

        assert [(each.mark, each.artifact.commit) for each in found.releases] == [("failed", ""), ("healthy", "a" * 40)]
        (warned,) = told
        assert isinstance(warned, Warn)
        assert warned.host == "web2"
        assert f"beside the release {NAME} is no description" in warned.text


@pytest.mark.parametrize("text", ["x", "{", '{"who": 5}', "[]", '"x"', "[" * 100_000, "null"])
def test_a_lock_that_nobody_can_read_is_held_by_somebody(text: str) -> None:
    found, _ = answered(CLAIM, {"answer": {**FACTS, "lock": text}})

    assert str(found.lock).startswith("somebody since")


def test_a_lock_is_read_of_the_text_that_its_file_has() -> None:
    found, _ = answered(CLAIM, {"answer": {**FACTS, "lock": '{"who":"me@here","why":"deploy","since":"then"}'}})
    free, _ = answered(CLAIM, {"answer": {**FACTS, "lock": ""}})

    assert found.lock == Holder("me@here", "deploy", "then")
    assert free.lock is None


def test_what_the_root_helper_says_is_read_whatever_it_is() -> None:
    state, _ = answered(
        ReadStatus(**dict.fromkeys(ReadStatus.__struct_fields__, "")),  # type: ignore[arg-type]
        {"answer": STATE},
    )

    assert state.running.pid == 7
    assert state.helper.redirect == (4001,)


@pytest.mark.parametrize("lacks", [(0, 0), (1, 0), (3,), (0, 1, 2, 3), (10**9,)])
def test_a_host_lacks_only_files_that_there_are_each_once(lacks: tuple[int, ...]) -> None:
    with pytest.raises(Failed, match=r"web2: claim answered .*\$\.lacks: expected numbers below 3"):
        check_lacks("web2", facts(lacks=lacks), 3)


def test_whatever_a_host_may_lack_is_taken() -> None:
    for lacks, files in (((), 0), ((), 3), ((0,), 1), ((0, 1, 2), 3), ((2,), 3)):
        check_lacks("web2", facts(lacks=lacks), files)


@pytest.mark.parametrize("name", ["20991231T235959Z", "20261125T000000Z"])
def test_one_hosts_release_of_days_ahead_names_no_other_hosts(name: str) -> None:
    old = Release("20261120T000000Z", "healthy", About())
    have = {"web1": facts(old), "web2": facts(old, Release(name, "new", About()))}

    with pytest.raises(Refused, match=f"web2: its newest release is {name}, more than a day ahead"):
        plan_deploy(INVENTORY, have, to_all(artifact(), have), NOW, force=False, migrate=False)


@pytest.mark.parametrize("name", ["20250230T000000Z", "99991231T235959Z"])
def test_a_release_after_which_no_time_can_come_is_that_hosts_problem(name: str) -> None:
    have = {"web1": facts(), "web2": facts(Release(name, "new", About()), live=None)}

    with pytest.raises(Refused, match=f"web2: its newest release is called {name}"):
        plan_deploy(INVENTORY, have, to_all(artifact(), have), NOW, force=False, migrate=False)


def test_a_host_goes_back_to_nothing_that_it_does_not_say_it_has() -> None:
    have = {"web1": facts(Release(NAME, "healthy", About()), previous="20200101T000000Z")}

    with pytest.raises(Refused, match="web1: the release to go back to, 20200101T000000Z, is none of those"):
        plan_rollback(INVENTORY, have, "")


def test_one_hosts_word_about_a_release_is_not_written_beside_those_of_others() -> None:
    asked = artifact()
    said = msgspec.structs.replace(_about(asked), version="6.6.6", commit="e" * 40)
    have = {"web1": facts(Release("20261120T000000Z", "healthy", said)), "web2": facts()}

    plan = plan_deploy(INVENTORY, have, to_all(asked, have), NOW, force=False, migrate=False)

    assert {step.host.name: step.about.version for step in plan.hosts}["web2"] == "2.0"


def _about(asked: Any) -> About:
    manifest = asked.manifest
    return About(manifest.version, manifest.commit, manifest.subject, manifest.tree, manifest.sha256)


def test_no_exit_status_that_a_server_may_say_comes_out_as_success() -> None:
    channel = object.__new__(Process)

    for said, ours in ((0, 0), (7, 7), (255, 255), (256, 255), (512, 255), (2**32 - 1, 255)):
        assert channel._status(SimpleNamespace(exit_status=said)) == ours  # type: ignore[arg-type]


OURS = PutLive("sum", "c" * 40, "s", False, NAME)


@pytest.mark.parametrize(
    ("others", "ours", "message"),
    [
        ({}, OURS, "no host runs anything yet"),
        ({"web1": "sum"}, None, "is not known on this machine: it put none live"),
        ({"web1": "another"}, OURS, r"is not known on this machine: it put 20261123T120000Z \(cccccccc\) live last"),
        ({"web1": ""}, OURS, "is not known on this machine"),
        ({"web1": "sum", "web3": "another"}, OURS, "hosts run different releases: web1 .*, web3 "),
    ],
)
def test_what_hosts_say_they_run_is_put_on_no_other_by_their_word(
    others: Mapping[str, str], ours: PutLive | None, message: str
) -> None:
    live = {host: Release(NAME, "healthy", About("1.0", "d" * 40, sha256=digest)) for host, digest in others.items()}

    with pytest.raises(Refused, match=message):
        _agreed_live(live, ours)


def test_what_this_machine_put_live_last_is_what_a_host_that_joins_gets(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    assert store.last_live("production") is None

    store.note_live("production", OURS)

    live = {"web1": Release(NAME, "healthy", About(sha256="sum", commit="d" * 40))}
    assert _agreed_live(live, store.last_live("production")) == OURS
    assert store.last_live("staging") is None
    store.note_live("production", None)
    assert store.last_live("production") is None


@pytest.mark.parametrize(
    "value",
    [
        "a\nERL_FLAGS=-eval x",
        "a\n",
        "a b",
        "'x'",
        '"a" b',
        '"a"\nX="b"',
        '"a\\n"',
        '"`id`"',
        '"$(id)"',
        '"a',
        "a\0",
        "\r",
    ],
)
def test_no_environment_file_is_rendered_with_more_than_a_value(value: str) -> None:
    with pytest.raises(Refused, match="the value of RELEASE_COOKIE cannot stand in an environment file"):
        variables_text(INVENTORY, "x", {"RELEASE_COOKIE": value})


def test_any_secret_can_stand_in_an_environment_file() -> None:
    value = "-----BEGIN-----\nab\"c\\`$x'\n-----END-----\n" + "y" * 100_000

    assert "-----END-----" in secrets_text(INVENTORY, {"KEY": value})


@pytest.mark.parametrize(
    ("release", "base"), [("../x", ""), ("", "../x"), ("a/b", ""), (f"{NAME}\n", ""), ("$(id)", "")]
)
def test_a_script_takes_nothing_for_a_release_that_is_none(release: str, base: str, tmp_path: Path) -> None:
    phase = Upload(
        root=str(tmp_path),
        app="hello",
        token="token",
        lease=90,
        release=release,
        base=base,
        artifact="{}",
        group="root",
        runtime="mix\nhello\n",
        links=(),
        directories=(),
        suspects="/none",
        signature="",
    )

    done = subprocess.run(["bash", "-s"], input=render(phase), capture_output=True, check=False)

    assert done.returncode == 3
    assert b"expected a release such as 20261123T120000Z" in done.stdout
    assert not list(tmp_path.iterdir())
