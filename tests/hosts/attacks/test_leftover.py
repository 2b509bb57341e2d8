"""Contents that a removed deploy key leaves in our own files on a host: they run, stop and fill nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.attack import HOST, ROOT
from tests.environment import LabEnvironment

# bash evaluates what stands where it expects a number, a command in an index too. EUID is always set.
RAN = "/tmp/warpbeam-ran"
WORD = f"EUID[$(touch${{IFS}}{RAN})0]"
BOOT = "$(cat /proc/sys/kernel/random/boot_id)"
GUARD = "activation/lock.guard"
MANIFEST = "current/.warpbeam/manifest"
# Contents of our files when the next command comes; as bash, in the app's directory.
NUMBERS = {
    "the end of a lease": rf"""printf '%s\n' aa "{BOOT}" '{WORD}+9999999' '{{"who":"x"}}' words >lock""",
    "the time of an activation": rf"""printf 'aa\n%s\ndone\nat:\t"x"\n' '{WORD}' >activation/pending""",
    "a mode in a manifest": f"""sed -i '1s/^[0-7]*/7,{WORD.replace("/", "[/]")}/' {MANIFEST}""".replace("[/]", r"\/"),
}
PIPES = (
    "manifest",
    "log",
    "job",
    "pending",
    "result",
    "helper.out",
    "cancel",
    "damaged",
    "migrate.log",
    "migrate.log.status",
    "lists/files",
    "lists/sums",
    "lists/linked",
    "lists/directories",
    "lists/tar",
)
# A sparse file takes no room on the disk and is as long.
ENDLESS = "1T"
SOON = 60


@pytest.fixture
def left(environment: LabEnvironment) -> Iterator[None]:
    """The app's directory is in order again, and the release that was live."""
    keep = f"cd {ROOT}/current/.warpbeam && pwd -P && cp -p manifest ~/manifest"
    place = environment.lab.ssh(HOST, keep, "deploy").stdout.strip()
    yield
    away = "rm -f lock activation/pending activation/result; find -size +1G -delete"
    environment.lab.ssh(HOST, f"cd {ROOT} && {away}; rm -f {RAN} history.jsonl.damaged", "deploy")
    whole = f"if cd {place}; then rm -f manifest && cp -p ~/manifest manifest; fi; rm ~/manifest"
    environment.lab.ssh(HOST, whole, "deploy")
    environment.fab("deploy", "--force")
    assert {row["health"] for row in environment.status().values()} == {"healthy"}


@pytest.mark.parametrize("what", NUMBERS)
def test_no_text_in_a_file_of_ours_is_evaluated_as_a_number(environment: LabEnvironment, left: None, what: str) -> None:
    environment.lab.ssh(HOST, "bash -s", "deploy", stdin=f"cd {ROOT}; {NUMBERS[what]}")

    for words in (["status"], ["history"], ["lock.status"], ["doctor"], ["restart"], ["rollback"]):
        environment.fab(*words, expect=None)

    assert environment.lab.ssh(HOST, f"ls {RAN}", check=False).stdout == ""


def test_no_pipe_in_the_place_of_a_file_of_ours_is_waited_for(environment: LabEnvironment, left: None) -> None:
    pipes = " ".join(f"activation/{name}" for name in PIPES)
    plant = f"mkdir -p activation/lists; rm -f {pipes}; mkfifo {pipes}"
    environment.lab.ssh(HOST, f"cd {ROOT} && {plant}", "deploy")

    environment.fab("history", timeout=SOON)
    environment.fab("restart", timeout=SOON)
    environment.lab.ssh(HOST, f"cd {ROOT} && {plant}", "deploy")
    environment.fab("deploy", "--force", timeout=SOON)
    for verb in ("maintenance.on", "maintenance.off"):
        environment.lab.ssh(HOST, f"cd {ROOT} && rm -f {GUARD} history.jsonl && mkfifo {GUARD} history.jsonl", "deploy")
        environment.fab(verb, timeout=SOON)

    assert environment.status()[HOST]["health"] == "healthy"


def test_a_link_in_the_place_of_a_file_of_ours_is_not_written_through(environment: LabEnvironment, left: None) -> None:
    links = "for name in manifest log job helper.out; do ln -sfn ~/bait activation/$name; done"
    environment.lab.ssh(HOST, f"echo as it was >~/bait; cd {ROOT} && {links}", "deploy")

    environment.fab("restart")

    assert environment.lab.ssh(HOST, "cat ~/bait; rm ~/bait", "deploy").stdout == "as it was\n"


@pytest.mark.parametrize("file", ["lock", "history.jsonl", "activation/result", MANIFEST])
def test_no_file_of_ours_that_never_ends_is_read_to_its_end(environment: LabEnvironment, left: None, file: str) -> None:
    pending = r"""printf 'aa\n1\ndone\nat:\t"x"\n' >activation/pending"""
    plant = f"{pending}; truncate -s {ENDLESS} {file}"
    environment.lab.ssh(HOST, f"cd {ROOT} && {plant}", "deploy")
    began = time.monotonic()

    rows = {row["host"]: row for row in json.loads(environment.fab("status", "--json", timeout=SOON).stdout)}
    environment.fab("history", timeout=SOON, expect=None)
    environment.fab("restart", timeout=SOON, expect=None)

    assert rows[HOST]["health"] == "healthy"
    assert time.monotonic() - began < 2 * SOON
    # Nothing goes on reading when nobody waits any more.
    assert environment.lab.ssh(HOST, "pgrep -u deploy -l '^(bash|awk|mawk|cat|head)$'", check=False).stdout == ""
