"""Choosing where: environment words, FABRIC_ENVIRONMENT, -H, a command of one's own, chains."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.environment import PROJECT, LabEnvironment


def test_a_command_runs_on_every_host_and_its_output_names_the_host(environment: LabEnvironment) -> None:
    done = environment.fab("--", "hostname; echo \"a  b\" '$HOME' >&2")

    assert sorted(done.stdout.splitlines()) == ["build1 | build1", "web1   | web1", "web2   | web2"]
    assert sorted(done.stderr.splitlines()) == ["build1 | a  b $HOME", "web1   | a  b $HOME", "web2   | a  b $HOME"]


def test_a_command_passes_its_exit_status_on(environment: LabEnvironment) -> None:
    failed = environment.fab("--", 'test "$(hostname)" != web2 || exit 7', expect=7)
    assert (failed.stdout, failed.stderr) == ("", "web2: warning: it ended with status 7\n")
    assert environment.fab("-H", "web1", "--", "exit 0").stdout == ""


def test_an_environment_variable_chooses_where_no_word_does(environment: LabEnvironment) -> None:
    with environment.another("other"):
        chosen = environment.fab("-H", "web1", "releases", inventory="", variables={"FABRIC_ENVIRONMENT": "stage"})
        assert "web1" in chosen.stdout
        # Empty is unset; then there is more than one, and none is guessed.
        for variables in ({}, {"FABRIC_ENVIRONMENT": ""}):
            asked = environment.fab("status", inventory="", expect=2, variables=variables)
            assert "error: no environment is chosen; there is: other, stage\n" in asked.stderr
        wrong = environment.fab("status", inventory="", expect=2, variables={"FABRIC_ENVIRONMENT": "stag"})
        assert "there is no environment 'stag'; did you mean \"stage\"?" in wrong.stderr
        # A word wins over the variable.
        word = environment.fab("-H", "web2", "--", "hostname", variables={"FABRIC_ENVIRONMENT": "nowhere"})
        assert word.stdout == "web2\n"
    # The only one there is needs no name.
    assert "web1" in environment.fab("-H", "web1", "releases", inventory="").stdout


def test_a_word_without_a_task_says_so(environment: LabEnvironment) -> None:
    done = environment.fab(expect=2)

    assert "error: `fab stage` chooses an environment but names no task" in done.stderr


def test_an_unknown_host_of_h_is_an_error_that_names_the_known_ones(environment: LabEnvironment) -> None:
    done = environment.fab("-H", "web1,wbe2", "status", expect=2)

    assert 'there is no host "wbe2"; did you mean "web2"?' in done.stderr
    assert "the hosts are web1, web2, build1" in done.stderr


def test_dry_is_refused_since_it_would_not_be(environment: LabEnvironment) -> None:
    done = environment.fab("--dry", "restart", expect=2)

    assert "--dry would still connect and change things" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("status.yml", "org: acme", "`status` is the name of a task"),
        ("firewall.yml", "org: acme", "`firewall` is the name of a task"),
        ("Bad Name.yml", "org: acme", "expected a name of a-z, 0-9 and -"),
        ("other.yaml", "org: acme", "expected a file that ends in .yml"),
    ],
)
def test_a_file_that_cannot_be_an_environment_stops_every_command(
    environment: LabEnvironment, name: str, text: str, message: str
) -> None:
    file = environment.inventories / name
    file.write_text(text)
    try:
        done = environment.fab("--list", inventory="", expect=2)
    finally:
        file.unlink()

    assert message in done.stderr
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_bad_inventory_names_its_line_and_nothing_has_run(environment: LabEnvironment) -> None:
    file = environment.inventories / "bad.yml"
    file.write_text("org: acme\napp: hello\nhosts:\n  web1:\n    rolse: [app]\n")
    try:
        done = environment.fab("--", "touch /tmp/it-ran", inventory="bad", expect=2)
    finally:
        file.unlink()

    assert "bad.yml:5: hosts.web1.rolse" in done.stderr
    assert 'did you mean "roles"?' in done.stderr


def test_a_chain_opens_one_connection_a_host_and_identity(environment: LabEnvironment) -> None:
    # Our own look below uses the connection that this one begins.
    for host in ("web1", "web2", "build1"):
        environment.lab.ssh(host, "true")
    since = int(time.time())
    time.sleep(1)

    environment.fab("setup", "deploy", "status", "releases", "firewall.status", "--", "true")

    for host in ("web1", "web2", "build1"):
        log = environment.lab.ssh(host, f"sudo journalctl -q -u ssh --since @{since + 1} -o cat").stdout
        accepted = [line.split()[3] for line in log.splitlines() if line.startswith("Accepted publickey")]
        assert sorted(accepted) == ["admin", "deploy"], host


def shell(environment: LabEnvironment, line: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in the project's directory."""
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=True, cwd=PROJECT, env=environment.environ
    )


def test_a_loop_over_a_list_of_hosts_keeps_its_input(environment: LabEnvironment) -> None:
    fab = environment.argv()[0]
    loop = f'printf "web1\\nweb2\\n" | while read -r host; do {fab} stage -H "$host" -- hostname; done'

    done = subprocess.run(
        ["sh", "-c", loop], capture_output=True, text=True, check=True, cwd=PROJECT, env=environment.environ
    )

    assert done.stdout.split() == ["web1", "web2"]


def test_the_stock_programs_help_explains_a_task(environment: LabEnvironment) -> None:
    done = environment.fab("--help", "logs", inventory="")

    assert "-f, --follow" in done.stdout
    assert "-n N, --lines=N" in done.stdout


def test_output_that_nobody_reads_is_no_error(environment: LabEnvironment) -> None:
    done = shell(environment, f"{environment.argv()[0]} stage logs -n 999 | head -n 1")

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
