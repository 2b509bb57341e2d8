"""The remote console, driven through a real pseudo-terminal."""

from __future__ import annotations

from tests.environment import LabEnvironment
from tests.hosts.terminal import PROMPT, ask, console, exit_status, terminal

CTRL_C, CTRL_G, TAB, UP = "\x03", "\x07", "\t", "\x1b[A"


def test_the_console_is_the_running_node_as_the_service_sees_itself(environment: LabEnvironment) -> None:
    live = environment.status()["web1"]

    with console(environment) as child:
        ask(child, "System.pid()", f'"{live["pid"]}"')
        ask(child, 'System.get_env("GREETING")', '"good morning"')
        ask(child, ":os.cmd(~c'id -un')", "hello")
        ask(child, "Application.spec(:hello, :vsn)", live["version"])


def test_tab_completes_and_the_up_arrow_brings_a_line_back(environment: LabEnvironment) -> None:
    with console(environment) as child:
        child.send("Enum.cou" + TAB)
        child.expect_exact("nt")
        ask(child, "([:a, :b, :c]) * 7", "21")
        child.send(UP)
        child.expect_exact("Enum.count([:a, :b, :c]) * 7")
        ask(child, "0", "210")


def test_letters_beyond_ascii_pass_both_ways_at_once(environment: LabEnvironment) -> None:
    with console(environment) as child:
        # Each is echoed before the next key is pressed.
        for letter in "é漢ß":
            child.send(letter)
            child.expect_exact(letter)
        child.send("\x01\x0b")
        ask(child, 'String.length("é漢ß") * 1000', "3000")


def test_a_resized_terminal_is_resized_on_the_node_too(environment: LabEnvironment) -> None:
    with console(environment) as child:
        ask(child, ":io.columns()", r"\{:ok, 100\}")
        child.setwinsize(25, 77)
        # ssh sends the new size in its own time.
        for _ in range(20):
            child.sendline(":io.columns()")
            if child.expect([r"\{:ok, 77\}", r"\{:ok, 100\}"]) == 0:
                break
        else:
            raise AssertionError("the node never heard of the new size")


def test_ctrl_c_twice_leaves_and_the_node_runs_on(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]["pid"]

    with console(environment) as child:
        child.send(CTRL_C)
        child.expect_exact("(a)bort")
        child.send(CTRL_C)
        assert exit_status(child) == 0

    assert environment.status()["web1"]["pid"] == before


def test_ctrl_g_interrupts_what_hangs_and_quits(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]["pid"]

    with console(environment) as child:
        child.sendline(":timer.sleep(:infinity)")
        child.send(CTRL_G)
        child.expect_exact("-->")
        child.sendline("i")
        child.expect_exact("-->")
        child.sendline("c")
        # The shell that was interrupted has a prompt again.
        child.sendline("")
        child.expect(PROMPT)
        ask(child, "6 * 7", "42")
        child.send(CTRL_G)
        child.expect_exact("-->")
        child.sendline("q")
        assert exit_status(child) == 0

    assert environment.status()["web1"]["pid"] == before


def test_input_from_a_pipe_is_evaluated_and_ends(environment: LabEnvironment) -> None:
    done = environment.fab("remote-console", stdin="IO.puts(1+1)\n")
    assert done.stdout.splitlines()[0] == "2"

    two_lines = environment.fab("remote-console", "--host", "web2", stdin='name = "é"\nIO.puts("#{name} #{node()}")\n')
    assert "é hello-" in two_lines.stdout

    for empty in ("", " \n"):
        refused = environment.fab("remote-console", stdin=empty, expect=2).stderr
        assert "remote-console needs a terminal" in refused
        assert "`fab stage rpc EXPRESSION` evaluates one expression" in refused
    assert "there is no expression on standard input" in environment.fab("rpc", "-", expect=2).stderr

    assert "boom" in environment.fab("remote-console", stdin='raise "boom"', expect=1).stderr


def test_a_console_of_a_host_that_does_not_answer_says_which_other_can_be_asked(environment: LabEnvironment) -> None:
    hosts = environment.settings["hosts"]
    environment.write(hosts={**hosts, "web1": {**hosts["web1"], "port": 9}})
    try:
        # OpenSSH itself would say one line, and end with 255.
        with terminal(environment, "remote-console") as child:
            child.expect_exact("port 9")
            child.expect_exact("--host web2")
            assert exit_status(child) == 3
    finally:
        environment.write()


def test_a_console_needs_a_node_that_runs(environment: LabEnvironment) -> None:
    unknown = environment.fab("remote-console", "--host", "web9", expect=2)
    assert '--host: there is no app host "web9"' in unknown.stderr
    assert "web1, web2" in unknown.stderr

    environment.fab("-H", "web2", "stop")
    try:
        with terminal(environment, "remote-console", "--host", "web2") as child:
            child.expect(r"hello@[ab]\.service is not running: `fab stage start` starts it")
            assert exit_status(child) == 2
    finally:
        environment.fab("-H", "web2", "start")
