"""The rules about releases, links and marks: the same in the phases, in the privileged helper, and in a plan."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import msgspec
import pytest

from warpbeam.host.answer import ReleaseName
from warpbeam.host.facts import About, Release
from warpbeam.host.record import RECORD_START
from warpbeam.host.script import PACKAGE, with_contained
from warpbeam.host.template import shared

MARKS = ("was_live", "healthy", "failed", "withdrawn")
COMBINATIONS = [combination for count in range(len(MARKS) + 1) for combination in itertools.combinations(MARKS, count)]
GOOD = ({"was_live"}, {"healthy"}, {"was_live", "healthy"})
TEXT = msgspec.json.encode(About("1.0", "c" * 40, "s", "d" * 40, "e" * 64)) + b"\n"
AFTER_ALL = "20990101T000000Z"
# The helper's rules, without setpriv(1), which needs root.
HELPER = f"""set -euo pipefail; export LC_ALL=C; hindered=no; ADMISSION=no
as_deploy() {{ "$@"; }}
{shared("host/release_rules")}
{shared("helper/releases")}
{shared("helper/mend")}
"""


def name(number: int) -> str:
    return f"20200101T00{number // 60:02}{number % 60:02}Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An app's directory with a release for each combination of marks, twice."""
    (tmp_path / "slots").mkdir()
    for number, marks in enumerate(COMBINATIONS * 2):
        place = tmp_path / "releases" / name(number) / ".warpbeam"
        place.mkdir(parents=True)
        (place / "artifact.json").write_bytes(TEXT)
        for mark in ("manifest", *marks):
            (place / mark).touch()
    return tmp_path


def phase(root: Path, script: str) -> str:
    """Run a script with the parts of a phase."""
    texts = "".join(shared(part) for part in with_contained(("host/common", "host/layout")))
    return bash(f"root={root} app=x\n{texts}\nfind_releases\n{script}")


def helper(root: Path, script: str) -> str:
    """Run a script with the rules as the privileged helper contains them."""
    return bash(f"root={root} app=x\n{HELPER}\nfind_releases\n{script}")


@pytest.mark.parametrize(
    "text",
    [
        *("20261123T120000Z", "19991231T235959Z", "20269999T999999Z", "00000101T000000Z", "20261301T000000Z"),
        *("20260132T000000Z", "20260100T000000Z", "20260101T240000Z", "20260101T006000Z", "20260101T000060Z", "a"),
    ],
)
def test_a_name_of_a_release_is_one_in_a_script_where_it_is_one_in_an_answer(text: str) -> None:
    try:
        answered = msgspec.convert(text, ReleaseName) == text
    except msgspec.ValidationError:
        answered = False

    assert bash(f"root=/nowhere\n{shared('host/release_rules')}\nif is_release {text}; then echo yes; fi") == (
        "yes\n" if answered else ""
    )


def bash(script: str) -> str:
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_rollback_goes_where_a_plan_says_whatever_the_marks(root: Path) -> None:
    names = [name(number) for number in range(len(COMBINATIONS) * 2)]
    ask = 'for it in "${complete[@]}" 20990101T000000Z; do previous_of "$it"; echo "$it $REPLY"; done'
    described = phase(root, 'described; record "$REPLY"').partition(RECORD_START.decode())[2]
    found = msgspec.json.decode(described, type=list[Release])

    # The values that Python makes of the host's answer.
    wanted = {
        before: max((each.name for each in found if each.is_good and each.name < before), default="")
        for before in (*names, AFTER_ALL)
    }

    assert [each.name for each in found] == names
    assert [each.is_good for each in found] == [set(marks) in GOOD for marks in COMBINATIONS * 2]
    lines = "".join(f"{before} {target}\n" for before, target in wanted.items())
    assert phase(root, ask) == lines
    assert helper(root, ask) == lines


def test_without_a_live_release_there_is_no_previous_one_but_a_newest_good_one(root: Path) -> None:
    newest = max(number for number, marks in enumerate(COMBINATIONS * 2) if set(marks) in GOOD)

    for run in (phase, helper):
        assert run(root, 'previous_of ""; echo "$REPLY"; newest_good; echo "$REPLY"') == f"\n{name(newest)}\n"


@pytest.mark.parametrize("marks", COMBINATIONS)
def test_the_mark_of_a_release_that_was_live_has_two_names_and_is_written_by_one(
    root: Path, marks: tuple[str, ...]
) -> None:
    release = name(COMBINATIONS.index(marks))
    place = root / "releases" / release / ".warpbeam"

    said = phase(
        root, f"was_live {release} && echo yes || echo no; mark_live {release}; was_live {release} && echo yes"
    )

    assert said == ("yes\nyes\n" if {"was_live", "healthy"} & {*marks} else "no\nyes\n")
    assert (place / "was_live").is_file()
    assert phase(root, f"unmark_live {release}; was_live {release} || echo no") == "no\n"
    assert not (place / "was_live").exists()
    assert not (place / "healthy").exists()


def test_a_link_in_the_place_of_a_mark_is_none_and_nothing_is_written_through_it(root: Path) -> None:
    release = name(0)
    place = root / "releases" / release / ".warpbeam"
    aim = root / "aim"
    aim.write_text("as it was")
    (place / "was_live").symlink_to(aim)

    for run in (phase, helper):
        assert run(root, f"was_live {release} || echo no") == "no\n"
    phase(root, f"mark_live {release}")

    assert aim.read_text() == "as it was"
    assert not (place / "was_live").is_symlink()


LINKS = {
    ("slots/a", "../releases/20200101T000000Z"): ("a", "20200101T000000Z", ""),
    ("slots/b", "../releases/20200101T000000Z"): ("b", "", "20200101T000000Z"),
    ("slots/c", "../releases/20200101T000000Z"): ("", "20200101T000000Z", ""),
    ("slots/a ", "../releases/20200101T000000Z"): ("", "20200101T000000Z", ""),
    ("../slots/a", "../releases/20200101T000000Z"): ("", "20200101T000000Z", ""),
    ("slots/a", "../releases/../20200101T000000Z"): ("a", "", ""),
    ("slots/a", "../releases/x/20200101T000000Z"): ("a", "", ""),
    ("slots/a", "/etc/20200101T000000Z"): ("a", "", ""),
    ("slots/a", "../releases/20200101T000000Z "): ("a", "", ""),
    ("slots/a", "../releases/20200101T000000Z\n"): ("a", "20200101T000000Z", ""),
    ("slots/a", "../releases/\n20200101T000000Z"): ("a", "", ""),
}


@pytest.mark.parametrize("links", LINKS)
def test_links_are_read_by_their_text_alone(tmp_path: Path, links: tuple[str, str]) -> None:
    current, slot = links
    live, release_a, release_b = LINKS[links]
    for directory in ("slots", "releases"):
        (tmp_path / directory).mkdir()
    (tmp_path / "current").symlink_to(current)
    (tmp_path / "slots" / ("b" if current == "slots/b" else "a")).symlink_to(slot)

    for run in (phase, helper):
        said = run(
            tmp_path, f'mkdir -p {tmp_path}/releases; read_links; echo "$live|$release_a|$release_b|$live_release"'
        )
        assert said == f"{live}|{release_a}|{release_b}|{release_b if live == 'b' else release_a if live else ''}\n"


def test_a_link_is_set_by_one_rename(root: Path) -> None:
    for run in (phase, helper):
        assert run(root, 'point "$root/current" slots/b; read_links; echo "$live"') == "b\n"
    assert [entry.name for entry in root.iterdir() if entry.name.startswith("current")] == ["current"]


def test_a_mended_current_leads_to_the_newest_good_release(root: Path) -> None:
    newest = max(number for number, marks in enumerate(COMBINATIONS * 2) if set(marks) in GOOD)

    # Nothing runs: systemd names no main process.
    done = subprocess.run(
        ["bash", "-c", f"root={root} app=x\n{HELPER}\nproperty() {{ echo 0; }}\nmend_current; echo $live_release"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"{name(newest)}\n"
    assert "current led nowhere; it leads to slots/a again" in done.stderr


def test_a_mended_current_leads_to_no_slot_whose_release_is_not_admitted(root: Path, tmp_path: Path) -> None:
    """The marks are the deploy user's, and so is the name that makes a release the newest."""
    good = next(name(number) for number, marks in enumerate(COMBINATIONS) if set(marks) in GOOD)
    forged = root / "releases" / AFTER_ALL / ".warpbeam"
    forged.mkdir(parents=True)
    for mark in ("manifest", "was_live"):
        (forged / mark).touch()
    (root / "slots" / "a").symlink_to(f"../releases/{good}")
    (root / "slots" / "b").symlink_to(f"../releases/{AFTER_ALL}")
    (tmp_path / "admitted" / good).mkdir(parents=True)

    script = f"""root={root} app=x\n{HELPER}\nADMISSION=yes ADMITTED={tmp_path}/admitted
    property() {{ echo 0; }}; mend_current 2>/dev/null; echo $live_release"""

    assert bash(script) == f"{good}\n"


def test_phases_and_helper_contain_the_same_file() -> None:
    assert (PACKAGE / "host" / "release_rules.sh").exists()
    assert "host/release_rules" in with_contained(("host/layout",))
