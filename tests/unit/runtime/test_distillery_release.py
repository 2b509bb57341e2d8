"""The functions for Distillery's releases: arguments without a cookie, checks of a build, the kind of a source."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from warpbeam.build.flavor import uses_distillery
from warpbeam.build.source import find_source
from warpbeam.error import Misuse
from warpbeam.event import Event
from warpbeam.host.script import PACKAGE
from warpbeam.init.distillery import init_distillery

REFUSE = 'refuse() { printf "%s\\n" "$*"; exit 78; }\n'


def run(script: str, *parts: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script after those shell files."""
    text = "".join((PACKAGE / f"{part}.sh").read_text() for part in ("runtime/distillery", *parts))
    environ = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        ["bash"], input=f"{REFUSE}{text}{script}", capture_output=True, text=True, check=False, env=environ
    )


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("-setcookie abc", ""),
        ("  -setcookie\tabc", "  "),
        ("+S 1 -setcookie abc +A 2", "+S 1  +A 2"),
        ("-name hello@host -setcookie 'a b' -heart", "  -heart"),
        ('-sname "x y"', ""),
        ("## -setcookie stays in a comment", "## -setcookie stays in a comment"),
        ("+S 1 # -name x", "+S 1 # -name x"),
        ("-names x", "-names x"),
    ],
)
def test_flags_are_taken_out_of_the_arguments_with_their_values(line: str, rest: str) -> None:
    done = run(f'distillery_without {shlex.quote(line)} name sname setcookie; printf "%s" "$REPLY"')

    assert (done.stdout, done.stderr) == (f"{rest}\n", "")


def test_only_exported_variables_are_put_into_the_arguments_and_once() -> None:
    # shellcheck would say that single quotes hide these: the function replaces them.
    text = "'-x ${ONE} ${NONE} ${name} $ONE ${ONE'"
    done = run(f'name=own; distillery_filled {text}; printf "%s" "$REPLY"', ONE="${TWO} & \\1", TWO="2")

    assert done.stdout == "-x ${TWO} & \\1   $ONE ${ONE"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A directory with the files of a release that are looked at before a start, and after a build."""
    for name, text in (
        ("bin/hello", "#!/bin/sh\n"),
        ("erts-13.1/bin/erl", ""),
        ("releases/start_erl.data", "13.1 0.1.0"),
        ("releases/0.1.0/hello.sh", 'ERL_OPTS="${ERL_OPTS:-}"\n'),
        ("releases/0.1.0/hello.tar.gz", ""),
        ("releases/0.1.0/libexec/commands/foreground.sh", ""),
        ("releases/0.1.0/vm.args", "-name hello@127.0.0.1\n-setcookie secret\n+S ${SCHEDULERS}\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def arguments(release: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run what the launcher runs before each start."""
    script = f'root={release} name=hello\ndistillery_refuse_cookie\nprintf "%s" "$arguments"\n'
    return run(script, RELEASE_NODE="hello-a@127.0.0.1", SCHEDULERS="4", **variables)


def test_an_instance_has_the_arguments_of_its_release_with_its_own_name(release: Path) -> None:
    assert arguments(release).stdout == "-name hello-a@127.0.0.1\n\n\n+S 4\n"
    assert "+S ${SCHEDULERS}" in arguments(release, REPLACE_OS_VARS="").stdout
    (release / "other.args").write_text("+A 5")
    assert arguments(release, VMARGS_PATH=str(release / "other.args")).stdout == "-name hello-a@127.0.0.1\n+A 5\n"


@pytest.mark.parametrize(
    ("text", "variables", "said"),
    [
        ("-nocookie\n", {}, "releases/0.1.0/vm.args has -nocookie"),
        ("+S 1 ${MORE}\n", {"MORE": "-nocookie"}, "releases/0.1.0/vm.args has -nocookie"),
        ("", {"ERL_OPTS": "-setcookie x"}, "ERL_OPTS has -setcookie"),
        ("", {"EXTRA_OPTS": "-setcookie x"}, "EXTRA_OPTS has -setcookie"),
    ],
)
def test_an_instance_with_a_cookie_of_its_own_is_refused(
    release: Path, text: str, variables: dict[str, str], said: str
) -> None:
    (release / "releases/0.1.0/vm.args").write_text(text)

    done = arguments(release, **variables)

    assert done.returncode == 78
    assert said in done.stdout


def checked(release: Path) -> subprocess.CompletedProcess[str]:
    """Run a build's checks of the release in that directory."""
    script = f'out={release} release=hello\ndistillery_tidy\ndistillery_check\nprintf "%s\\n" "$erts $version"\n'
    return run(script, "host/json", "host/common", "runtime/distillery_built")


def test_a_build_takes_the_cookie_and_the_tarball_out_of_the_release(release: Path) -> None:
    done = checked(release)

    assert (done.stdout, done.stderr) == ("13.1 0.1.0\n", "")
    assert (release / "releases/0.1.0/vm.args").read_text() == "-name hello@127.0.0.1\n\n+S ${SCHEDULERS}\n"
    assert not (release / "releases/0.1.0/hello.tar.gz").exists()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("bin/hello", None, "Distillery made no bin/hello"),
        ("erts-13.1/bin/erl", None, "the release has no Erlang of its own (ERTS)"),
        ("releases/0.1.0/vm.args", "-nocookie\n", "releases/0.1.0/vm.args:1:-nocookie"),
        ("releases/0.1.0/hello.sh", 'ERL_OPTS="${ERL_OPTS:--setcookie x}"\n', "the release sets a cookie of its own"),
        ("releases/0.1.0/libexec/commands/foreground.sh", None, "is no start script of Distillery 1.5 or 2"),
    ],
)
def test_a_build_refuses_a_release_of_distillery_that_no_host_could_start(
    release: Path, file: str, text: str | None, said: str
) -> None:
    if text is None:
        (release / file).unlink()
        if not list((release / file).parent.iterdir()):
            (release / file).parent.rmdir()
    else:
        (release / file).write_text(text)

    done = checked(release)

    assert done.returncode == 4
    assert said in done.stdout


def source_of(directory: Path, **files: str) -> Path:
    """Make a repository with those files: `rel_config` is rel/config.exs."""
    names = {"mix": "mix.exs", "lock": "mix.lock", "rel_config": "rel/config.exs"}
    for name, text in files.items():
        file = directory / names[name]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", directory, *identity, *words], check=True)
    return directory


DEPENDENCY = 'defp deps, do: [{:distillery, "~> 2.1"}]\n'


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"mix": DEPENDENCY, "rel_config": ""}, True),
        ({"mix": "x", "lock": '%{\n  "distillery": {:hex, :distillery, "2.1.1"}}', "rel_config": ""}, True),
        ({"mix": DEPENDENCY}, False),
        ({"mix": "x", "rel_config": ""}, False),
        ({"mix": '  # {:distillery, "~> 2.1"}\n', "rel_config": ""}, False),
        ({"mix": "x"}, False),
    ],
)
def test_a_source_is_distillerys_by_its_dependency_and_its_configuration(
    tmp_path: Path, files: dict[str, str], found: bool
) -> None:
    assert uses_distillery(find_source(source_of(tmp_path, **files))) is found


def written(directory: Path, release: str = "") -> list[str]:
    """Run `fab init.distillery`; return its notes."""
    said: list[Event] = []
    init_distillery(directory, release, said.append)
    return [getattr(event, "text", "") for event in said]


def test_the_files_of_distillery_are_written_once_and_never_changed(tmp_path: Path) -> None:
    (tmp_path / "mix.exs").write_text(f"project: [app: :hello]\n{DEPENDENCY}")

    assert written(tmp_path) == ["wrote rel/config.exs", "wrote rel/vm.args.eex"]
    text = (tmp_path / "rel/config.exs").read_text()
    assert "use Distillery.Releases.Config," in text
    assert "release :hello do\n  set version: current_version(:hello)" in text
    # A template: what it explains must not be filled in.
    arguments = (tmp_path / "rel/vm.args.eex").read_text()
    assert arguments.count("<%") == 1
    assert "-setcookie" not in [line.split()[0] for line in arguments.splitlines() if line]
    (tmp_path / "rel/config.exs").write_text("mine")
    assert "rel/config.exs is there already; nothing of it was changed" in written(tmp_path)
    assert (tmp_path / "rel/config.exs").read_text() == "mine"


def test_an_umbrella_and_an_old_distillery_get_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "mix.exs").write_text('apps_path: "apps"\n{:distillery, "~> 1.5"}\n')
    for app in ("shop", "web"):
        (tmp_path / "apps" / app).mkdir(parents=True)
        (tmp_path / "apps" / app / "mix.exs").write_text(f"app: :{app},\n")

    with pytest.raises(Misuse, match="names no app"):
        written(tmp_path)
    written(tmp_path, "whole")

    text = (tmp_path / "rel/config.exs").read_text()
    assert "use Mix.Releases.Config," in text
    assert "release :whole do\n  set version: current_version(:shop)" in text
    assert "    shop: :permanent,\n    web: :permanent\n" in text


def test_a_directory_without_an_app_gets_no_files(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"holds no mix\.exs"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []
