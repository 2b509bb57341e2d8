"""The seam of release runtimes: a closed set, whole in its two halves, and known nowhere else."""

from __future__ import annotations

import re
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpbeam.host.script import PACKAGE
from warpbeam.inventory.build import Build
from warpbeam.inventory.reserved import variable_owner
from warpbeam.runtime.kinds import COOKIE, RUNTIMES, UNNAMED, alone_settings, described, slot_settings
from warpbeam.runtime.runtime import CHECKS, COMMANDS, PREPARATIONS

PROJECT = Path(__file__).parents[3]
# Variables, paths and arguments by which a release of some kind is started, asked or built.
KNOWLEDGE = re.compile(
    r"""\bRELEASE_(?![A-Z]*\})[A-Z{(@]|\bRELEASE_\b|(?<![\w/.])bin/[A-Z$\{]|/bin/(?:\$|\{)|start_erl|releases/COOKIE
    |\benv\.sh|--cookie|\bREL_""",
    re.VERBOSE,
)
# Lines of the product that have it all the same: a part of the file's name, a part of the line, and why.
KNOWN = (
    ("build/tools.sh", '"${!RELEASE_@}"', "a build starts without the variables of tools, those of Mix's tasks too"),
    ("build/tools.sh", "[[ -x $2/bin/$program", "the program is one of a tool's version, not of a release"),
    ("helper", "cd in rel/env.sh", "the comment says why a process may have left its directory"),
    ("host/instance.sh", "vm.args, a file that it includes, env.sh", "the comment names sources of arguments"),
)


def lines_of_the_product() -> Iterator[tuple[str, str]]:
    """Each line of Warpbeam's own files, with the name of its file; without the runtimes themselves."""
    for directory in ("warpbeam", "templates", "tasks"):
        for file in sorted((PROJECT / directory).rglob("*")):
            name = str(file.relative_to(PROJECT))
            if file.suffix in (".py", ".sh", ".j2", ".erl") and not name.startswith("warpbeam/runtime/"):
                yield from ((name, line) for line in file.read_text().splitlines())


def test_nothing_but_a_runtime_knows_how_a_release_is_started_or_asked() -> None:
    found = [(name, line.strip()) for name, line in lines_of_the_product() if KNOWLEDGE.search(line)]

    unexplained = [
        (name, line) for name, line in found if not any(where in name and part in line for where, part, _ in KNOWN)
    ]
    assert unexplained == []


@pytest.mark.parametrize(("where", "part"), [known[:2] for known in KNOWN])
def test_an_exception_that_is_gone_is_no_exception(where: str, part: str) -> None:
    assert any(where in name and part in line for name, line in lines_of_the_product() if KNOWLEDGE.search(line))


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: str(runtime.name))
def test_a_runtime_has_a_function_for_all_that_a_release_is_asked(runtime: typing.Any) -> None:
    for part, wanted in ((runtime.launched, (*PREPARATIONS, *COMMANDS)), (runtime.built, CHECKS)):
        text = (PACKAGE / f"{part}.sh").read_text()
        defined = re.findall(r"^([a-z_]+)\(\)", text, re.MULTILINE)

        assert {f"{runtime.name}_{function}" for function in wanted} <= {*defined}
        # The launcher has the functions of all kinds beside each other.
        assert [name for name in defined if not name.startswith(f"{runtime.name}_")] == []


def test_an_inventory_can_name_each_kind_of_release_and_no_other() -> None:
    assert {*typing.get_args(typing.get_type_hints(Build)["flavor"])} == {"auto", *RUNTIMES}


def test_a_host_is_told_the_kind_and_the_name_of_a_release() -> None:
    assert described("mix", "hello") == "mix\nhello\n"
    assert UNNAMED.name == "mix"


def test_the_variables_of_a_release_are_those_of_mix() -> None:
    assert slot_settings("hello-a@127.0.0.1", "/run/hello-a") == {
        "RELEASE_NODE": "hello-a@127.0.0.1",
        "RELEASE_DISTRIBUTION": "name",
        "RELEASE_TMP": "/run/hello-a",
    }
    assert alone_settings() == {"RELEASE_DISTRIBUTION": "none"}
    assert COOKIE == "RELEASE_COOKIE"


def test_an_inventory_may_set_no_variable_of_a_release() -> None:
    assert "RELEASE_ variables" in variable_owner("RELEASE_ANY")
    assert "start script has it for itself" in variable_owner("BINDIR")
    assert "makes the cookie" in variable_owner("RELEASE_COOKIE")
    assert variable_owner("DATABASE_URL") == ""


START = '#!/bin/sh\nexec erl --cookie "$RELEASE_COOKIE" "$@"\n'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A directory with the files of a release that are looked at after a build."""
    for name, text in (
        ("bin/hello", START),
        ("releases/start_erl.data", "15.2 0.1.0"),
        ("releases/COOKIE", "secret"),
        ("releases/0.1.0/vm.args", "## -setcookie in a comment\n"),
        ("releases/0.1.0/env.sh", "# export RELEASE_NODE=hello\n"),
        ("hello-0.1.0.tar.gz", ""),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin/hello").chmod(0o755)
    return tmp_path


def checked(built: Path) -> subprocess.CompletedProcess[str]:
    """Run a build's checks of the release in that directory."""
    parts = "".join(
        (PACKAGE / f"{part}.sh").read_text()
        for part in ("host/json", "host/common", "runtime/mix", "runtime/mix_built")
    )
    script = f"{parts}out={built} release=hello\nmix_tidy\nmix_check\nnamed=false\n"
    script += 'if mix_names_node; then named=true; fi\nprintf "%s\\n" "$erts $version $named"\n'
    return subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)


def test_a_build_reads_the_version_and_removes_what_no_artifact_has(built: Path) -> None:
    done = checked(built)

    assert (done.stdout, done.stderr) == ("15.2 0.1.0 false\n", "")
    assert not (built / "releases/COOKIE").exists()
    assert not (built / "hello-0.1.0.tar.gz").exists()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("export RELEASE_NODE=hello", "true"),
        ("export RELEASE_NODE=${RELEASE_NODE:-hello}", "false"),
        ('RELEASE_NODE="${RELEASE_NODE-hello}"', "false"),
    ],
)
def test_a_build_sees_whether_the_release_names_its_node_itself(built: Path, line: str, named: str) -> None:
    (built / "releases/0.1.0/env.sh").write_text(f"{line}\n")

    assert checked(built).stdout == f"15.2 0.1.0 {named}\n"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("bin/hello", None, "mix release made no bin/hello"),
        ("bin/hello", "#!/bin/sh\nexec erl -setcookie x\n", "bin/hello does not hand over the cookie"),
        ("bin/hello", f"{START}exec erl --cookie x\n", "bin/hello does not hand over the cookie"),
        ("releases/start_erl.data", None, "mix release made no bin/hello"),
        ("releases/0.1.0/vm.args", "+S 4\n-setcookie x\n", "releases/0.1.0/vm.args:2:-setcookie x"),
        ("releases/0.1.0/remote.vm.args", "-nocookie\n", "releases/0.1.0/remote.vm.args:1:-nocookie"),
        ("releases/0.1.0/env.sh", 'X="-setcookie x"\n', "the release sets a cookie of its own"),
    ],
)
def test_a_build_refuses_a_release_that_a_host_could_not_start(
    built: Path, file: str, text: str | None, said: str
) -> None:
    if text is None:
        (built / file).unlink()
    else:
        (built / file).write_text(text)

    done = checked(built)

    assert done.returncode == 4
    assert said in done.stdout
