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
from warpbeam.helper.program import helper
from warpbeam.host.phase import COMMENT, PACKAGE, Phase, text_of
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


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_script_names_every_parameter_that_it_is_given(phase: type[Phase[Any]]) -> None:
    sources = "".join((PACKAGE / f"{name}.sh").read_text() for name in (*phase.parts, phase.script))

    unread = [name for name in phase.__struct_fields__ if f"${{{name}" not in sources and f"${name}" not in sources]

    assert unread == []


FUNCTION = re.compile(r"^([a-z_]+)\(\)", re.MULTILINE)
# The places of a command: at the beginning of a line or of a substitution, or after a keyword of the shell.
CALL = re.compile(r"(?:^|[;&|(!]|\b(?:if|then|else|do|while|until)) *([a-z_]+)(?=[ ;)\n])", re.MULTILINE)


@pytest.mark.parametrize("phase", phases(), ids=lambda phase: str(phase.__name__))
def test_a_phase_is_sent_with_the_parts_whose_functions_its_script_calls(phase: type[Phase[Any]]) -> None:
    texts = {str(file.relative_to(PACKAGE).with_suffix("")): file.read_text() for file in PACKAGE.rglob("*.sh")}
    sent = "".join(texts[name] for name in (*phase.parts, phase.script))
    shared = "".join(texts[part] for part in {part for other in phases() for part in other.parts})

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
    helper_text = (PROJECT / "templates" / "helper.sh.j2").read_text()
    for text in (*(text_of(example(phase)) for phase in phases()), helper_text):
        assert not re.search(r"\$\{?SECONDS\b|\(SECONDS\b|EPOCH", text)
