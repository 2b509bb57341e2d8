"""The app's journal, of all hosts at once."""

from __future__ import annotations

import re
import secrets

import pexpect
import pytest

from tests.environment import LabEnvironment
from tests.hosts.terminal import exit_status, terminal


def say(environment: LabEnvironment, word: str) -> None:
    """Make every host's app print a line, and wait until it is in the journal."""
    environment.fab("rpc", "--all", f'IO.puts(:user, "{word}")')
    for host in ("web1", "web2"):
        wait = f"for i in $(seq 50); do sudo journalctl -q -u 'hello@*' --grep {word} && break; sleep 0.1; done"
        assert word in environment.lab.ssh(host, wait).stdout


def assert_nobody_follows(environment: LabEnvironment) -> None:
    """Fail if a journalctl is left on any host two seconds from now."""
    for host in ("web1", "web2"):
        wait = "for i in $(seq 20); do pgrep -f 'journalctl --[f]ollow' || exit 0; sleep 0.1; done; exit 1"
        assert environment.lab.ssh(host, wait, check=False).returncode == 0, f"{host}: journalctl is still there"


def test_lines_of_all_hosts_are_merged_by_time_and_prefixed(environment: LabEnvironment) -> None:
    for word in ("merged-1", "merged-2"):
        say(environment, word)

    lines = environment.fab("logs", "-n", "2", "--grep", "merged-").stdout.splitlines()

    assert sorted(line.split(" | ")[0] for line in lines) == ["web1", "web1", "web2", "web2"]
    times = [line.split(" | ")[1].split()[0] for line in lines]
    assert times == sorted(times)
    assert len(environment.fab("-H", "web2", "logs", "--lines", "1").stdout.splitlines()) == 1


def test_since_and_slot_and_grep_narrow_what_is_shown(environment: LabEnvironment) -> None:
    live = environment.status()["web1"]["slot"]
    word = f"narrow-{secrets.token_hex(4)}"
    say(environment, word)

    # One host: the others' live slot may be the other one.
    assert word in environment.fab("-H", "web1", "logs", "--since", "5 min ago", "--slot", live).stdout
    assert word not in environment.fab("-H", "web1", "logs", "--slot", "b" if live == "a" else "a").stdout
    for words in (["--since", "2038-01-01"], ["--grep", "no such word anywhere"]):
        nothing = environment.fab("logs", *words)
        assert (nothing.stdout, nothing.stderr) == ("", f"no line matches {' '.join(words)}\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--since", "yesterdya"], 2, "--since yesterdya: Failed to parse timestamp: yesterdya"),
        (["--since", "$(id)"], 2, "--since $(id): warpbeam-helper: the time holds a character"),
        (["--grep", "["], 2, '--grep [: Bad pattern "["'),
        (["--slot", "c"], 2, "--slot c: expected a or b"),
        (["-n", "many"], 2, "--lines many: expected a number of lines"),
        (["--grep", "two\nlines"], 2, "take one line"),
    ],
)
def test_a_bad_option_of_logs_is_an_error_that_says_which(
    environment: LabEnvironment, words: list[str], code: int, text: str
) -> None:
    assert text in environment.fab("logs", *words, expect=code).stderr


def test_following_shows_new_lines_and_leaves_nothing_behind_on_ctrl_c(environment: LabEnvironment) -> None:
    with terminal(environment, "logs", "-f", "-n", "1") as child:
        child.expect(r"web[12] \| ")
        child.expect(r"web[12] \| ")
        say(environment, "followed")
        for _ in ("web1", "web2"):
            child.expect(r"(web[12]) \| \S+ web[12] hello\[\d+\]: followed")
        child.sendintr()
        assert exit_status(child) == 130
        # A person who follows ends it so: there is nothing to report.
        assert child.before is not None
        assert not re.search(r"warning|error|status|interrupted|cannot", child.before)
    assert_nobody_follows(environment)


def test_following_ends_on_hosts_when_fab_is_killed(environment: LabEnvironment) -> None:
    with terminal(environment, "logs", "-f", "-n", "1") as child:
        child.expect(r"web[12] \| ")
        child.expect(r"web[12] \| ")
        child.kill(9)
        child.expect(pexpect.EOF)
    assert_nobody_follows(environment)
