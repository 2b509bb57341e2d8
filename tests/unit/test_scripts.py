"""Every phase as it is sent to a host, with its parameters and shared parts; and the privileged helper."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import typing
from pathlib import Path
from typing import Any

import pytest

import warpbeam
from warpbeam.helper.program import helper, program
from warpbeam.host.phase import Phase
from warpbeam.host.script import COMMENT, PACKAGE, sources, text_of, with_contained
from warpbeam.inventory.read import read_inventory
from warpbeam.provision.footprint import footprint

PROJECT = Path(__file__).parent.parent.parent


def phases() -> list[type[Phase[Any]]]:
    for module in pkgutil.walk_packages(warpbeam.__path__, "warpbeam."):
        importlib.import_module(module.name)
    found = list(Phase.__subclasses__())
    for phase in found:
        found += phase.__subclasses__()
    return sorted(
        (phase for phase in found if hasattr(phase, "script") and phase.__module__.startswith("warpbeam.")),
        key=lambda phase: phase.script,
    )


def example(phase: type[Phase[Any]]) -> Phase[Any]:
    """Return the phase with some value of the right type in each field."""
    values = {}
    for name, hint in typing.get_type_hints(phase).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        values[name] = ("x", "y") if typing.get_origin(hint) is tuple else hint("1")
    return phase(**values)


def shellcheck(text: str) -> str:
    """Return shellcheck's output; without SC2034, SC2317 (used elsewhere) and SC2016 (an inner bash expands it)."""
    done = subprocess.run(
        ["shellcheck", "--shell=bash", "--exclude=SC2016,SC2034,SC2317", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_phase_as_it_is_sent_passes_shellcheck(phase: type[Phase[Any]]) -> None:
    assert shellcheck(text_of(example(phase), comments=True)) == ""


def as_bash_reads(text: str) -> str:
    """Return a phase as bash has parsed it, without the comments in awk programs."""
    asked = f"main() {text}\ndeclare -f main\n"
    said = subprocess.run(["bash"], input=asked, capture_output=True, text=True, check=True).stdout
    return COMMENT.sub("", said)


def test_scripts_are_sent_without_comments_and_are_the_same_to_bash() -> None:
    for phase in map(example, phases()):
        sent = text_of(phase)

        assert as_bash_reads(sent) == as_bash_reads(text_of(phase, comments=True)), phase.script
        assert not [line for line in sent.splitlines() if line.lstrip().startswith("#")], phase.script


def source(name: str) -> str:
    """The text of a script or of a shared part."""
    return (PACKAGE / f"{name}.sh").read_text()


# A parameter in a guard at the head of a file: an array may be empty.
GUARD = re.compile(r'"\$\{([a-z_]+)(\?|\[@\]-)\}"')
PARAMETERS = re.compile(r"^# Parameters: (.*(?:\n# .*)*)", re.MULTILINE)
OTHERS = re.compile(r"those of ([a-z_]+)\.sh(?: and of ([a-z_]+)\.sh)?")


def guards(name: str) -> dict[str, str]:
    """The parameters that a file guards, each with the kind of its guard."""
    lines = [line for line in source(name).splitlines() if line.startswith(': "${')]
    return {match[1]: match[2] for line in lines for match in GUARD.finditer(line)}


def parameters(name: str) -> str:
    """The sentence about a file's parameters, or an empty text."""
    found = PARAMETERS.search(source(name))
    return found[1].replace("\n# ", " ") if found else ""


def referred(name: str) -> set[str]:
    """The parts whose parameters a file names by the part's name alone."""
    return {each for match in OTHERS.finditer(parameters(name)) for each in match.groups() if each}


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_script_with_its_parts_guards_exactly_the_parameters_of_its_phase(phase: type[Phase[Any]]) -> None:
    files = sources(phase)
    hints = typing.get_type_hints(phase)
    arrays = {name for name in phase.__struct_fields__ if typing.get_origin(hints[name]) is tuple}

    guarded = {name: kind for file in files for name, kind in guards(file).items()}

    assert set(guarded) == set(phase.__struct_fields__)
    assert {name for name, kind in guarded.items() if kind == "[@]-"} <= arrays


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_the_heads_of_a_script_and_its_parts_name_every_parameter(phase: type[Phase[Any]]) -> None:
    parts = {part.rpartition("/")[2]: part for part in with_contained(phase.parts)}
    for file in sources(phase):
        assert referred(file) <= set(parts), f"{file}.sh names parts that it is not sent with"
        named = " ".join(map(parameters, (file, *(parts[part] for part in referred(file)))))

        assert [name for name in guards(file) if not re.search(rf"\b{name}\b", named)] == [], f"{file}.sh"


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_script_reads_every_parameter_that_no_part_asks_for(phase: type[Phase[Any]]) -> None:
    """A part may ask for what only some of the scripts read that it is sent with."""
    files = sources(phase)
    lines = [line for name in files for line in source(name).splitlines() if not line.startswith((': "${', "#"))]
    own = set(phase.__struct_fields__) - {name for part in phase.parts for name in guards(part)}

    assert [name for name in own if not re.search(rf"\b{name}\b", "\n".join(lines))] == []


FUNCTION = re.compile(r"^([a-z_]+)\(\)", re.MULTILINE)
# The places of a command: at the beginning of a line or of a substitution, or after a keyword of the shell.
CALL = re.compile(r"(?:^|[;&|(!]|\b(?:if|then|else|do|while|until)) *([a-z_]+)(?=[ ;)\n])", re.MULTILINE)


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_phase_is_sent_with_the_parts_whose_functions_its_script_calls(phase: type[Phase[Any]]) -> None:
    texts = {str(file.relative_to(PACKAGE).with_suffix("")): file.read_text() for file in PACKAGE.rglob("*.sh")}
    sent = "".join(texts[name] for name in sources(phase))
    shared = "".join(texts[part] for part in {part for other in phases() for part in with_contained(other.parts)})

    missing = {*CALL.findall(sent)} & {*FUNCTION.findall(shared)} - {*FUNCTION.findall(sent)}

    assert missing == set()


def test_the_root_helper_and_every_other_program_that_stays_on_hosts_pass_shellcheck() -> None:
    inventory = read_inventory(PROJECT / "inventory" / "demo.yml")
    made = footprint(inventory, inventory.hosts["web1"], {}, "cookie", ())

    programs = {file.path: file.content for file in made.files if file.content.startswith("#!")}

    assert helper(inventory) in programs
    assert {path: shellcheck(text) for path, text in programs.items()} == dict.fromkeys(programs, "")


def test_no_deadline_is_of_the_wall_clock_which_may_be_set_meanwhile() -> None:
    """bash computes SECONDS from the time of day (variables.c, get_seconds)."""
    for text in (*(text_of(example(phase)) for phase in phases()), program("")):
        assert not re.search(r"\$\{?SECONDS\b|\(SECONDS\b|EPOCH", text)
