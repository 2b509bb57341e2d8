"""`setup --diff`: it shows how files differ, and never a secret."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from warpbeam.host.script import PACKAGE
from warpbeam.host.template import systemd_quoted
from warpbeam.provision.host_state import HostState, PathState
from warpbeam.provision.item import File
from warpbeam.provision.text_diff import compared, masked

KEY = "k3y"
OURS = "# Secrets of hello. Written by Warpbeam's setup.\n"
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def on_a_host(file: Path, text: str, *clear: str) -> str:
    """Return the text as a host masks it."""
    file.write_text(text, newline="")
    script = (PACKAGE / "host/common.sh").read_text() + (PACKAGE / "provision/mask.sh").read_text()
    script += 'masked "$@"; printf "%s" "$REPLY"\n'
    argv = ["bash", "-c", script, "mask", str(file), KEY, *clear]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode()


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("ABCD"), VALUES))
@example({"A": 'a"\nB="b', "B": "\\", "C": "\\\\", "D": "\n"})
@example({"A": "x\nTOKEN=y\n", "B": "\r\n#"})
def test_a_host_masks_a_file_as_this_machine_does_and_shows_no_value(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    text = OURS + "".join(f"{name}={systemd_quoted(value)}\n" for name, value in values.items())

    shown = masked(text, ("D",), KEY)

    assert shown == on_a_host(tmp_path_factory.getbasetemp() / "masked.env", text, "D")
    for name, value in values.items():
        if name != "D":
            assert any(line.startswith(f"{name}=(hidden, ") for line in shown.splitlines())
        else:
            assert f"D={systemd_quoted(value)}" in shown


@pytest.mark.parametrize(
    "text",
    [
        "TOKEN=s3cret\n",
        "TOKEN='s3cret'\n",
        'TOKEN="s3cret\n',
        "# TOKEN=s3cret\n",
        " TOKEN=s3cret\n",
        "export TOKEN=s3cret",
        'A="\\"\nB="s3cret"\n',
        "s3cret\n",
        '# s3cret. Written by Warpbeam\'s setup. "s3cret"\n',
    ],
)
def test_what_somebody_wrote_there_by_hand_is_hidden_too(tmp_path: Path, text: str) -> None:
    assert "s3cret" not in masked(text, (), KEY)
    assert masked(text, (), KEY) == on_a_host(tmp_path / "masked.env", text)


def found(path: str, text: str | None) -> HostState:
    return HostState((), {}, {path: PathState("regular file", "644", "root", "root", "other", text=text)}, (), "")


def test_a_difference_is_unified_and_a_new_file_is_all_plus() -> None:
    file = File("/lib/x.service", "one\ntwo\nthree\n")

    assert compared(file, found(file.path, "one\n2\nthree\n"), KEY) == [
        "--- /lib/x.service",
        "+++ /lib/x.service",
        "@@ -1,3 +1,3 @@",
        " one",
        "-2",
        "+two",
        " three",
    ]
    new = compared(file, HostState((), {}, {}, (), ""), KEY)
    assert new[:2] == ["--- /dev/null", "+++ /lib/x.service"]
    assert [line[0] for line in new[3:]] == ["+", "+", "+"]
    assert "no text" in compared(file, found(file.path, None), KEY)[0]


def test_a_secret_that_changes_is_seen_to_change_and_nothing_more() -> None:
    file = File("/etc/secrets.env", f'{OURS}A="new"\nB="same"\n', secret=True, clear=())
    there = masked(f'{OURS}A="old"\nB="same"\n', (), KEY)

    lines = compared(file, found(file.path, there), KEY)

    assert [line[:3] for line in lines if line[0] in "+-"] == ["---", "+++", "-A=", "+A="]
    assert not any(word in line for line in lines for word in ("new", "old", "same"))
