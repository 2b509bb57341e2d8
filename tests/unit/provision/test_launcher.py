"""The program that starts every VM of the app: the cookie is in no argument and no variable of the VM."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.footprint import footprint
from warpbeam.runtime import kinds
from warpbeam.runtime.kinds import described
from warpbeam.runtime.mix import MIX

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

COOKIE, OTHER = "C" * 43, "D" * 43
RELEASE = "20261123T120000Z"
# The parts of Mix's start script that matter here.
START = """#!/bin/sh -e
RELEASE_COOKIE="${RELEASE_COOKIE:-"$(cat releases/COOKIE)"}"
export RELEASE_COOKIE
run () {
  exec env printf '%s\\n' "$0" "$@" "cookie=$RELEASE_COOKIE" "home=$HOME"
}
case $1 in
  start)
    run --hidden --cookie "$RELEASE_COOKIE" \\
        "$@"
    ;;
  *)
    run \\
        --cookie "$RELEASE_COOKIE" \\
        "$@"
    ;;
esac
"""
APP = Host(name="web1", roles=("app",))
INVENTORY = Inventory(org="acme", app="hello", hosts={"web1": APP})


def program(directory: Path) -> str:
    """Return the launcher, with its files below `directory`."""
    files = footprint(INVENTORY, APP, {}, COOKIE, None).files
    text = next(file.content for file in files if file.path.endswith("/launch"))
    text = text.replace("/var/lib/hello", f"{directory}/var").replace("/run/hello-", f"{directory}/run/hello-")
    return text.replace("/opt/acme/hello/", f"{directory}/")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory with the files that the launcher finds on a host."""
    for place in ("var", "run/hello-a", "run/hello-b", "run/hello-rpc-1", "release/bin", "release/releases/0.1.0"):
        (tmp_path / place).mkdir(parents=True)
    for link in ("slots/a", "slots/b", f"releases/{RELEASE}"):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to("../release")
    for name, content in (("launcher", program(tmp_path)), ("release/bin/hello", START)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "release/releases/start_erl.data").write_text("13.1.5 0.1.0\n")
    (tmp_path / "release/releases/0.1.0/vm.args").write_text("## -setcookie here is a comment\n+S 4\n")
    return tmp_path


def launched(host: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher, and return the completed process."""
    environ = {"PATH": os.environ["PATH"], "HOME": f"{host}/var", **variables}
    argv = ("bash", "-p", f"{host}/launcher", *words)
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=30, check=False)


def kept(path: Path) -> tuple[str, str]:
    """Return a file's mode and text."""
    return f"{path.stat().st_mode & 0o7777:o}", path.read_text()


def test_an_instance_finds_its_cookie_at_home_and_nowhere_else(host: Path) -> None:
    done = launched(host, "a", RELEASE_COOKIE=COOKIE)

    assert done.returncode == 0, done.stderr
    program, hidden, start, cookie, home = done.stdout.splitlines()
    assert (program, hidden, start, home) == (f"{host}/slots/a/bin/hello", "--hidden", "start", f"home={host}/var")
    assert re.fullmatch(r"cookie=none-\d+", cookie)
    assert kept(host / "var/.erlang.cookie") == kept(host / "run/hello-a/cookie") == ("400", COOKIE)


def link(path: Path) -> None:
    """Make a link to a file of someone else."""
    (path.parent / "other").write_text("theirs")
    path.symlink_to(path.parent / "other")


def open_to_all(path: Path) -> None:
    """Write the right cookie, readable for everybody: the VM would not start with it."""
    path.write_text(COOKIE)
    path.chmod(0o644)


# Files that may lie in the place of the cookie.
BEFORE: Mapping[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "the same, for everybody": open_to_all,
    "another": lambda path: path.write_text(OTHER),
    "a longer one": lambda path: path.write_text(COOKIE * 9),
    "a link": link,
    "a pipe": os.mkfifo,
    "half of one": lambda path: (path.parent / ".erlang.cookie.a").write_text("C"),
    "a link beside": lambda path: (path.parent / ".erlang.cookie.a").symlink_to(path.parent / "nowhere"),
}


@pytest.mark.parametrize("what", BEFORE)
def test_anything_in_the_cookies_place_is_replaced_by_the_cookie(host: Path, what: str) -> None:
    BEFORE[what](host / "var/.erlang.cookie")

    assert launched(host, "a", RELEASE_COOKIE=COOKIE).returncode == 0

    assert kept(host / "var/.erlang.cookie") == ("400", COOKIE)
    assert not (host / "var/.erlang.cookie").is_symlink()
    assert sorted(file.name for file in (host / "var").iterdir() if file.name.startswith(".erl")) == [".erlang.cookie"]
    if what == "a link":
        assert (host / "var/other").read_text() == "theirs"


def test_what_talks_with_an_instance_has_the_cookie_that_one_was_started_with(host: Path) -> None:
    launched(host, "a", RELEASE_COOKIE=OTHER)
    launched(host, "b", RELEASE_COOKIE=COOKIE)
    own = host / "run/hello-rpc-1"

    done = launched(host, "beside", "a", RELEASE, "rpc", "1 + 1", RUNTIME_DIRECTORY=str(own))

    assert done.returncode == 0, done.stderr
    assert kept(own / ".erlang.cookie") == ("400", OTHER)
    assert kept(host / "var/.erlang.cookie") == ("400", COOKIE)
    assert f"home={own}" in done.stdout
    assert OTHER not in done.stdout


def test_an_instance_of_the_version_before_is_reached_by_what_the_root_helper_says(host: Path) -> None:
    own = host / "run/hello-rpc-1"

    done = launched(host, "beside", "a", RELEASE, "rpc", "1 + 1", RUNTIME_DIRECTORY=str(own), RELEASE_COOKIE=OTHER)

    assert kept(own / ".erlang.cookie") == ("400", OTHER)
    assert OTHER not in done.stdout
    assert launched(host, "beside", "b", RELEASE, "rpc", "1 + 1", RUNTIME_DIRECTORY=str(own)).returncode == 78


def test_an_evaluation_gets_no_cookie(host: Path) -> None:
    done = launched(host, "alone", RELEASE, "eval", "IO.read()", RUNTIME_DIRECTORY=str(host / "run/hello-rpc-1"))

    assert done.returncode == 0, done.stderr
    assert re.search(r"^cookie=none-\d+$", done.stdout, re.MULTILINE)
    assert list((host / "var").iterdir()) == []


def test_a_home_that_is_not_there_is_replaced_by_the_apps_own(host: Path) -> None:
    for home in ("/nonexistent", ""):
        done = launched(host, "a", RELEASE_COOKIE=COOKIE, HOME=home)
        assert f"home={host}/var" in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "variables", "said"),
    [
        ("vm.args", "+S 4\n-setcookie known\n", {}, "vm.args has -setcookie, which every user of the host can read"),
        ("vm.args", "-nocookie\n", {}, "vm.args has -nocookie"),
        ("remote.vm.args", "  -hidden -setcookie known # mine\n", {}, "remote.vm.args has -setcookie"),
        ("env.sh", 'export ELIXIR_ERL_OPTIONS="-setcookie $X"\n', {}, "env.sh has -setcookie"),
        ("env.sh", "", {"ERL_ZFLAGS": "+S 4 -setcookie known"}, "ERL_ZFLAGS has -setcookie"),
        ("env.sh", "", {"ERL_OTP27_FLAGS": "-nocookie"}, "ERL_OTP27_FLAGS has -nocookie"),
        ("env.sh", "", {"ELIXIR_ERL_OPTIONS": "-setcookie known"}, "ELIXIR_ERL_OPTIONS has -setcookie"),
        ("env.sh", "", {"RELEASE_COOKIE": ""}, "there is no cookie: `fab None setup` makes one"),
    ],
)
def test_a_cookie_of_the_releases_own_is_refused(
    host: Path, file: str, text: str, variables: Mapping[str, str], said: str
) -> None:
    (host / "release/releases/0.1.0" / file).write_text(text)

    done = launched(host, "a", **{"RELEASE_COOKIE": COOKIE, **variables})

    assert (done.returncode, done.stdout) == (78, "")
    assert said.replace("None", INVENTORY.name) in done.stderr
    assert done.stderr.count("\n") == 1
    assert COOKIE not in done.stderr


def test_a_start_script_of_another_kind_runs_and_does_not_know_the_cookie(host: Path) -> None:
    script = host / "release/bin/hello"
    script.write_text("#!/usr/bin/env perl\nprint join(' ', @ARGV, $ENV{RELEASE_COOKIE}), qq(\\n);\n")

    done = launched(host, "a", RELEASE_COOKIE=COOKIE)

    assert re.fullmatch(r"start none-\d+\n", done.stdout), done.stderr


def test_a_release_of_another_name_starts_by_its_own(host: Path) -> None:
    """A host is set up for the inventory's release; the live or the previous release may have another name."""
    (host / "release/bin/hello").rename(host / "release/bin/worker")
    for name, text in (("server", "#!/bin/sh\nexec ./worker start\n"), ("worker.bat", START), ("data", "\0")):
        (host / "release/bin" / name).write_text(text)
    (host / "release/bin/server").chmod(0o755)

    done = launched(host, "a", RELEASE_COOKIE=COOKIE)

    program, hidden, start, cookie, _ = done.stdout.splitlines()
    assert (program, hidden, start) == (f"{host}/slots/a/bin/worker", "--hidden", "start")
    assert re.fullmatch(r"cookie=none-\d+", cookie)
    # With two start scripts, the launcher cannot know which one is meant.
    (host / "release/bin/worker.bat").chmod(0o755)
    refused = launched(host, "a", RELEASE_COOKIE=COOKIE)
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "slots/a/bin/hello: it cannot be read" in refused.stderr


def say(host: Path, text: str) -> Path:
    """Write what the upload says beside the release; return the file."""
    file = host / "release/.warpbeam/runtime"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_a_release_starts_by_the_kind_and_the_name_that_the_upload_wrote(host: Path) -> None:
    (host / "release/bin/hello").rename(host / "release/bin/worker")
    # Without the name, two start scripts are one too many.
    (host / "release/bin/other").write_text(START)
    for name in ("worker", "other"):
        (host / "release/bin" / name).chmod(0o755)
    say(host, described("mix", "worker"))

    done = launched(host, "a", RELEASE_COOKIE=COOKIE)

    assert done.stdout.splitlines()[0] == f"{host}/slots/a/bin/worker", done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mix",
        "mix\n",
        "mix\nhello",
        "rebar\nhello\n",
        "mixed\nhello\n",
        "mix\n../hello\n",
        "mix\nhello\nmore\n",
        "mix\nhello $(id)\n",
        " mix\nhello\n",
        "mix\n" + "h" * 300 + "\n",
    ],
)
def test_a_release_of_an_unknown_kind_is_refused_and_changes_nothing(host: Path, text: str) -> None:
    say(host, text)

    for words in (("a",), ("beside", "a", RELEASE, "remote"), ("alone", RELEASE, "eval", "1 + 1")):
        done = launched(host, *words, RELEASE_COOKIE=COOKIE, RUNTIME_DIRECTORY=str(host / "run/hello-rpc-1"))

        assert (done.returncode, done.stdout) == (78, "")
        assert "names no kind of release that this host can start (mix, distillery)" in done.stderr
        assert done.stderr.count("\n") == 1
    assert list((host / "var").iterdir()) == list((host / "run/hello-rpc-1").iterdir()) == []


def test_only_a_plain_file_says_of_which_kind_a_release_is(host: Path) -> None:
    file = say(host, described("mix", "hello"))
    file.rename(host / "aside")
    puts: tuple[Callable[[], object], ...] = (lambda: file.symlink_to(host / "aside"), lambda: os.mkfifo(file))
    for put in puts:
        put()
        done = launched(host, "a", RELEASE_COOKIE=COOKIE)
        file.unlink()

        assert (done.returncode, done.stdout) == (78, "")
        assert "names no kind of release" in done.stderr


def test_the_unit_of_an_earlier_version_starts_the_release_still(host: Path) -> None:
    """A setup that stops half way, or before systemd has read the new unit, must not keep an app from starting."""
    done = launched(host, "a", f"{host}/slots/a/bin/hello", "start", RELEASE_COOKIE=COOKIE)

    assert done.stdout.splitlines()[:3] == [f"{host}/slots/a/bin/hello", "--hidden", "start"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("c",),
        ("start",),
        ("beside", "a", RELEASE, "start"),
        ("beside", "a", "../../etc", "remote"),
        ("beside", "c", RELEASE, "remote"),
        ("beside", "a", f"/opt/acme/hello/releases/{RELEASE}/bin/hello", "remote"),
        ("alone", RELEASE, "rpc", "1 + 1"),
        ("alone", f"../{RELEASE}", "eval", "1 + 1"),
    ],
)
def test_the_launcher_takes_no_other_words(host: Path, words: tuple[str, ...]) -> None:
    done = launched(host, *words, RELEASE_COOKIE=COOKIE)

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.endswith(": run setup to its end\n")


# A second kind of release, whose program is elsewhere, says other words and takes the cookie by another name.
OTHER_KIND = """#!/bin/bash
other_find_program() { program=$root/run; }
other_hide_cookie() { export OTHER_COOKIE=none; }
other_refuse_cookie() { :; }
other_start() { exec "$program" foreground "$OTHER_COOKIE"; }
other_remote() { exec "$program" attach; }
other_rpc() { exec "$program" ask "$1"; }
other_eval() { exec "$program" evaluate "$1"; }
"""


def test_releases_of_two_kinds_lie_on_one_host_and_each_starts_as_what_it_is(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host / "other.sh").write_text(OTHER_KIND)
    monkeypatch.setitem(kinds.RUNTIMES, "other", msgspec.structs.replace(MIX, name="other", launched=f"{host}/other"))
    (host / "launcher").write_text(program(host))
    second, name = host / "second", "20261124T120000Z"
    (second / ".warpbeam").mkdir(parents=True)
    (second / ".warpbeam/runtime").write_text(described("other", "hello"))
    (second / "run").write_text('#!/bin/sh\nprintf "%s " "$@" "${RELEASE_COOKIE-unset}"\n')
    (second / "run").chmod(0o755)
    for link in ("slots/b", f"releases/{name}"):
        (host / link).unlink(missing_ok=True)
        (host / link).symlink_to("../second")
    own = str(host / "run/hello-rpc-1")

    assert launched(host, "a", RELEASE_COOKIE=COOKIE).stdout.splitlines()[0] == f"{host}/slots/a/bin/hello"
    assert launched(host, "b", RELEASE_COOKIE=COOKIE).stdout == "foreground none unset "
    asked = launched(host, "beside", "b", name, "rpc", "1 + 1", RUNTIME_DIRECTORY=own)
    assert asked.stdout == "ask 1 + 1 unset ", asked.stderr
    assert launched(host, "alone", name, "eval", "2", RUNTIME_DIRECTORY=own).stdout == "evaluate 2 unset "
    # A rollback across kinds: the slot leads to the first release again.
    (host / "slots/b").unlink()
    (host / "slots/b").symlink_to("../release")
    assert launched(host, "b", RELEASE_COOKIE=COOKIE).stdout.splitlines()[0] == f"{host}/slots/b/bin/hello"
