"""The versions that a source asks for in the files of asdf and mise."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from warpbeam.build.asked import MISE_FILES, AskedTools, asked_tools
from warpbeam.build.source import Source, find_source
from warpbeam.error import Misuse

VERSIONS = "elixir 1.16.3\nerlang 26.2\nnodejs 20.11.1\nruby 3\n"
OF_VERSIONS = AskedTools("1.16.3", "26.2", "20.11.1")


def source_with(directory: Path, files: dict[str, str]) -> Source:
    """Commit these files and a project in `app/`, and return the project's source."""
    for name, text in {"app/mix.exs": "defmodule App do\nend\n", **files}.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "--all"), (*identity, "commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", directory, *words], check=True, capture_output=True)
    return find_source(directory / "app")


FORMS = [
    ('elixir = "1.17.3-otp-27"\n"core:erlang" = "27.1"\nnode = "20"', ("1.17.3-otp-27", "27.1", "20")),
    ('elixir = ["1.17", "1.16"]\nerlang = { version = "27" }', ("1.17 1.16", "27", "")),
    ('elixir = [{ version = "1.17", os = ["linux"] }, "system"]\nerlang = "27"', ("1.17 system", "27", "")),
    ('elixir = "prefix:1.17"\nerlang = "ref:abc"\nnode = "lts"', ("prefix:1.17", "ref:abc", "lts")),
    ('elixir = "latest"\nerlang = "path:/opt/otp-27"', ("latest", "path:/opt/otp-27", "")),
    ('ruby = "3"\n"npm:prettier" = "3"', ("", "", "")),
    ('[tools.elixir]\nversion = "1.17"', ("1.17", "", "")),
]


@pytest.mark.parametrize(("tools", "wanted"), FORMS)
def test_every_form_of_mises_tools_is_read(tmp_path: Path, tools: str, wanted: tuple[str, str, str]) -> None:
    head = "" if tools.startswith("[") else "[tools]\n"
    text = f'min_version = "2024.1"\n{head}{tools}\n[env]\nMIX_ENV = "dev"\n'

    asked = asked_tools(source_with(tmp_path, {"app/mise.toml": text}))

    assert (asked.elixir, asked.erlang, asked.nodejs) == wanted
    assert asked.files == ("mise.toml" if any(wanted) else ".tool-versions")


# Texts of people and of editors of Windows; mise 2026.9.15 itself reads each as it is expected here.
TEXTS = [
    ("erlang 27.1\r\nelixir 1.17.3-otp-27\r\n", ("1.17.3-otp-27", "27.1", "")),
    ("\ufefferlang 27.1\r\n", ("", "27.1", "")),
    ("# erlang 26\n\n  erlang\t27.1   26.2# two\nelixir 1.17\nelixir 1.18", ("1.18", "27.1 26.2", "")),
    (
        "erlang ref:master\nelixir path:/opt/elixir-main\nnodejs system\n",
        ("path:/opt/elixir-main", "ref:master", "system"),
    ),
    ("elixir main-otp-27\nerlang latest:27\nnode lts\nnodejs\n", ("main-otp-27", "latest:27", "lts")),
    ("Erlang 27\nelixir# 1\nruby 3", ("", "", "")),
]


@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_tool_versions_is_read_as_people_and_editors_write_it(
    tmp_path: Path, text: str, wanted: tuple[str, str, str]
) -> None:
    source = source_with(tmp_path, {})
    (tmp_path / "app/.tool-versions").write_bytes(text.encode())
    subprocess.run(["git", "-C", tmp_path, "add", "--all"], check=True)
    subprocess.run(
        ["git", "-C", tmp_path, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-q", "-m", "x"],
        check=True,
    )

    asked = asked_tools(find_source(source.directory))

    assert (asked.elixir, asked.erlang, asked.nodejs) == wanted


def test_of_all_files_of_mise_the_one_decides_that_decides_for_mise(tmp_path: Path) -> None:
    left = [*MISE_FILES]
    while left:
        with_all = tmp_path / str(len(left))
        source = source_with(
            with_all, {f"app/{name}": f'\ufeff[tools]\r\nerlang = "{name.count("/")}"\r\n' for name in left}
        )
        assert asked_tools(source).files == left.pop(0)


@pytest.mark.parametrize(
    ("files", "tools", "wanted"),
    [
        ({"app/.tool-versions": VERSIONS}, "auto", OF_VERSIONS),
        ({"app/.tool-versions": "node 20\n"}, "mise", AskedTools(nodejs="20")),
        # In one directory, mise's own files come first; the nearest directory comes before all.
        (
            {"app/.tool-versions": VERSIONS, "app/mise.toml": '[tools]\nelixir = "1.17"'},
            "auto",
            AskedTools("1.17", "26.2", "20.11.1", "mise.toml and .tool-versions"),
        ),
        (
            {"app/.tool-versions": VERSIONS, "mise.toml": '[tools]\nelixir = "1.17"'},
            "mise",
            AskedTools("1.16.3", "26.2", "20.11.1"),
        ),
        (
            {"app/mise.toml": '[tools]\nelixir = "1.17"', "app/.mise.toml": '[tools]\nelixir = "1.18"'},
            "mise",
            AskedTools("1.18", files=".mise.toml"),
        ),
        (
            {"app/.config/mise/config.toml": '[tools]\nelixir = "1.17"', ".tool-versions": "erlang 27.0\n"},
            "system",
            AskedTools("1.17", "27.0", files=".config/mise/config.toml and .tool-versions"),
        ),
        # asdf does not read mise's files.
        ({"app/.tool-versions": VERSIONS, "app/mise.toml": "[tools"}, "asdf", OF_VERSIONS),
    ],
)
def test_the_file_that_decides_is_the_one_that_the_tool_reads(
    tmp_path: Path, files: dict[str, str], tools: str, wanted: AskedTools
) -> None:
    assert asked_tools(source_with(tmp_path, files), tools) == wanted


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mise.toml", "[tools\n", "mise.toml of the source is no TOML"),
        (
            "mise.toml",
            '[tools]\nelixir = "{{ env.ELIXIR }}"',
            r"asks for the version '\{\{ env",
        ),
        ("mise.toml", "[tools]\nelixir = 1.10\n", "mise.toml of the source has a version of elixir without quotes"),
        ("mise.toml", '[tools]\nerlang = ["27", 26]\n', "a version of erlang without quotes"),
        ("mise.toml", "[tools]\nerlang = { version = true }\n", "a version of erlang without quotes"),
        (".tool-versions", "erlang ../../etc\n", "asks for the version '../../etc' of erlang"),
        (".tool-versions", "elixir --help\n", "asks for the version '--help' of elixir"),
        (".tool-versions", "elixir ref:../x\n", "asks for the version 'ref:../x'"),
        (".tool-versions", "elixir 1.*\n", r"asks for the version '1\.\*' of elixir; expected one such as"),
    ],
)
def test_what_is_no_version_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = source_with(tmp_path, {f"app/{name}": text})

    with pytest.raises(Misuse, match=message):
        asked_tools(source)
