"""The end of `fab`: the real program in a process of its own, with tasks that fail in different ways."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
FABFILE = """
import os, signal, sys, time
from invoke import Collection, Exit, Task, task
from warpbeam.error import Failed, Lost, Misuse, Refused

def doze():
    # In pieces: a signal that comes just before a sleep begins is heard after it.
    for _ in range(600):
        time.sleep(0.1)
@task
def misuse(c): raise Misuse("it is wrong", "do it right")
@task
def refused(c): raise Refused("it may not")
@task
def failed(c): raise Failed("it broke", "mend it", ("one line", "two lines"))
@task
def hinted(c):
    from warpbeam.event import Warn
    c.session.emit(Warn("web1", "see `fab ENV logs`"))
    raise Refused("it may not", "`fab ENV status`, `fab ENV setup`")
@task
def lost(c): raise Lost("it is gone")
@task
def bug(c): raise RuntimeError("password=hunter2")
@task
def stop(c): raise Exit(code=5)
@task
def ok(c): print("ok ran")
@task
def ask(c): print("took", c.session.environment, c.session.only)
@task
def wait(c):
    try:
        print("waiting", flush=True)
        doze()
    finally:
        print("cleaned up", flush=True)
@task
def pipe(c): raise BrokenPipeError
def forever(host):
    while True:
        doze()
@task
def stuck(c):
    from warpbeam.event import Step
    from warpbeam.fleet.fleet import Fleet
    from warpbeam.inventory.schema import Host, Inventory, Ssh
    fleet = Fleet(Inventory(name="one", file="f", org="o", app="a", hosts={}, all_hosts={}))
    c.session._fleets["one"] = fleet
    def work(host):
        with fleet.activity.doing(host, "activate"):
            c.session.emit(Step(host.name, "wait"))
            if host.name == "web2":
                print("waiting", flush=True)
            forever(host)
    fleet.everywhere([Host(name="web1"), Host(name="web2")], work)
@task
def stubborn(c):
    try:
        print("waiting", flush=True)
        doze()
    finally:
        print("cleaning", flush=True)
        forever(None)
@task
def tidy(c):
    from warpbeam.event import Note, Step
    c.session.emit(Step("web1", "work"))
    try:
        c.session.emit(Note("", "waiting"))
        doze()
    finally:
        c.session.emit(Note("", "nobody sees this"))
        c.session.emit(Step("web1", "undo"))
        open("tidied", "w").close()
@task
def late(c):
    class Slow:
        _report = None
        waits_for = {"the end": ""}
        def close(self):
            print("waiting", flush=True)
            doze()
    c.session._fleets["one"] = Slow()

@task
def local(c):
    from warpbeam.inventory.read import Reading
    from warpbeam.inventory.schema import Inventory
    name = c.session.environment
    inventory = Inventory(name=name, file="f", org="o", app="a", hosts={}, all_hosts={})
    c.session._readings.setdefault(name, Reading(inventory, None))
    print("is", c.session.local_fleet.inventory.name)
@task
def few(c):
    local.body(c)
    c.session.local_fleet.set_jobs("3")
@task
def many(c):
    local.body(c)
    print("at once", c.session.local_fleet.jobs)

namespace = Collection(misuse, refused, failed, lost, hinted, bug, stop, ok, ask, wait, pipe)
for more in (stuck, stubborn, tidy, late, local, few, many):
    namespace.add_task(more)
for name in ("demo", "one", "two"):
    word = Task(lambda c: 1 / 0, name=name)
    vars(word)["environment"] = name
    namespace.add_task(word, name=name)
namespace.configure({"environment": None, "warpbeam": {"project": "."}})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the tasks above and this project's fabric.yaml."""
    (tmp_path / "fabfile.py").write_text(FABFILE)
    (tmp_path / "fabric.yaml").write_text((PROJECT / "fabric.yaml").read_text())
    return tmp_path


def start(project: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    """Start the stock `fab` in that project."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
    return subprocess.Popen(
        [Path(sys.executable).parent / "fab", *words],
        cwd=project,
        env={**clean, "PYTHONPATH": str(PROJECT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def fab(project: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    """Run `fab`; return its exit status, standard output and standard error."""
    process = start(project, *words, **variables)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("task", "code", "said"),
    [
        ("misuse", 2, "error: it is wrong\n  hint: do it right\n"),
        ("refused", 3, "error: it may not\n"),
        ("failed", 4, "  | one line\n  | two lines\nerror: it broke\n  hint: mend it\n"),
        ("lost", 4, "error: it is gone\n"),
        ("stop", 5, ""),
        ("pipe", 0, ""),
    ],
)
def test_each_kind_of_error_has_its_exit_status_and_plain_words(project: Path, task: str, code: int, said: str) -> None:
    assert fab(project, "one", task, "ok") == (code, "", said)


def test_hints_name_the_environment_in_force(project: Path) -> None:
    assert fab(project, "two", "hinted")[2].splitlines() == [
        "web1: warning: see `fab two logs`",
        "error: it may not",
        "  hint: `fab two status`, `fab two setup`",
    ]
    assert "`fab one setup`" in fab(project, "hinted", FABRIC_ENVIRONMENT="one")[2]


def test_a_bug_tells_its_place_but_no_value_unless_it_is_asked(project: Path) -> None:
    code, _, said = fab(project, "one", "bug")

    assert code == 1
    assert "a fault in Warpbeam itself: RuntimeError at " in said
    assert "hunter2" not in said
    assert "Traceback" not in said
    assert "hunter2" in fab(project, "-d", "one", "bug")[2]


def test_words_choose_the_environment_of_the_tasks_after_them(project: Path) -> None:
    code, out, err = fab(project, "-H", "b,a", "one", "ask", "two", "ask")

    assert (code, out, err) == (0, "took one b,a\ntook two b,a\n", "")


def test_this_machine_is_deployed_to_as_the_environment_in_force_says(project: Path) -> None:
    assert fab(project, "one", "local", "two", "local", "one", "local")[1] == "is one\nis two\nis one\n"


def test_the_jobs_of_one_task_do_not_stay_in_force_for_the_next_task(project: Path) -> None:
    usual = fab(project, "one", "many")[1]

    assert usual != "is one\nat once 3\n"
    assert fab(project, "one", "few", "many")[1] == f"is one\n{usual}"


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        (["ask"], {}, 2, "no environment is chosen; there is: demo, one, two"),
        (["ask"], {"FABRIC_ENVIRONMENT": ""}, 2, "no environment is chosen"),
        (["ask"], {"FABRIC_ENVIRONMENT": "twoo"}, 2, "there is no environment 'twoo'; did you mean \"two\"?"),
        (["ok", "one"], {}, 2, "`fab one` chooses an environment but names no task"),
        (["--dry", "one", "ok"], {}, 2, "--dry would still connect"),
    ],
)
def test_what_cannot_be_chosen_is_said(
    project: Path, words: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    status, _, err = fab(project, *words, **variables)

    assert status == code
    assert said in err


def test_a_variable_or_a_setting_chooses_where_no_word_does(project: Path) -> None:
    assert fab(project, "ask", FABRIC_ENVIRONMENT="two")[1] == "took two None\n"
    with (project / "fabric.yaml").open("a") as settings:
        settings.write("environment: demo\n")
    assert fab(project, "ask")[1] == "took demo None\n"
    assert fab(project, "ask", FABRIC_ENVIRONMENT="two")[1] == "took two None\n"
    assert fab(project, "one", "ask", FABRIC_ENVIRONMENT="two")[1] == "took one None\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_a_task_clean_up_and_ends_with_130(project: Path, number: signal.Signals) -> None:
    process = start(project, "one", "wait", "ok")
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (130, "cleaned up\n", "interrupted\n")


def test_threads_that_are_stuck_for_good_do_not_keep_the_program_from_ending(project: Path) -> None:
    process = start(project, "one", "stuck")
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=40)

    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")


def test_a_second_interrupt_says_what_is_waited_for_and_a_third_leaves_at_once(project: Path) -> None:
    process = start(project, "one", "stuck")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert said_soon(process, "still ending in order: waiting for web1 (activate), web2 (activate)")
    process.kill()
    process.communicate()

    process = start(project, "one", "stubborn")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGTERM)
    assert said_soon(process, "still ending in order")
    process.send_signal(signal.SIGINT)

    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "left at once" in err


def said_soon(process: subprocess.Popen[str], what: str) -> bool:
    """Return whether `process` prints a line with `what` on standard error."""
    assert process.stderr is not None
    return any(what in line for line in iter(process.stderr.readline, ""))


def test_a_signal_while_connections_are_closed_ends_with_130_too(project: Path) -> None:
    process = start(project, "one", "late")
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (130, "interrupted\n")


def test_a_terminal_that_is_closed_ends_the_command_with_130_after_its_clean_up(project: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", Path(sys.executable).parent / "fab", "one", "tidy"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while b"waiting" not in shown:
        shown += os.read(leader, 4096)

    os.close(leader)

    assert process.wait(timeout=30) == 130
    assert (project / "tidied").exists()


def test_nohup_is_honoured(project: Path) -> None:
    line = f"trap '' HUP; exec {Path(sys.executable).parent / 'fab'} one wait"
    process = subprocess.Popen(
        ["sh", "-c", line],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGHUP)

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 130


@pytest.mark.parametrize("word", ["demo", "version"])
def test_without_fabric_yaml_it_is_said_what_is_missing(tmp_path: Path, word: str) -> None:
    (tmp_path / "fabfile.py").write_text("from tasks import collection\nnamespace = collection(__file__)\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "demo.yml").write_text((PROJECT / "inventory" / "demo.yml").read_text())

    code, out, err = fab(tmp_path, word, "version")

    assert (code, out) == (2, "")
    assert err == (
        "error: this task needs Warpbeam's executor\n"
        "  hint: `warpbeam-init` writes fabric.yaml, which names it; or copy Warpbeam's beside fabfile.py\n"
    )
