"""Backtraces of a node for an expression that failed."""

from __future__ import annotations

from warpbeam.operate.backtrace import Backtrace

# The output of a node with Elixir 1.14 on OTP 25.
SAID = b"""** (ArgumentError) errors were found at the given arguments:

  * 1st argument: not a textual representation of an integer

    :erlang.binary_to_integer("x")
    (hello 0.1.0) lib/hello/number.ex:3: Hello.Number.parse/1
    (elixir 1.14.0) lib/enum.ex:1658: Enum."-map/2-lists^map/1-0-"/2
    (stdlib 4.2) erl_eval.erl:744: :erl_eval.do_apply/7
    (elixir 1.14.0) lib/code.ex:422: Code.validated_eval_string/3
    (stdlib 4.2) erl_eval.erl:961: :erl_eval.expr_list/7
    nofile:1: (file)
    (elixir 1.14.0) lib/kernel/cli.ex:73: anonymous fn/4 in Kernel.CLI.exec_fun/2
the end"""


def test_frames_of_the_evaluation_are_left_out_and_all_else_stays() -> None:
    shown: list[bytes] = []
    trace = Backtrace(shown.append)

    for at in range(0, len(SAID), 7):
        trace(SAID[at : at + 7])
    trace.end()

    assert b"".join(shown).decode().splitlines() == [
        "** (ArgumentError) errors were found at the given arguments:",
        "",
        "  * 1st argument: not a textual representation of an integer",
        "",
        '    :erlang.binary_to_integer("x")',
        "    (hello 0.1.0) lib/hello/number.ex:3: Hello.Number.parse/1",
        '    (elixir 1.14.0) lib/enum.ex:1658: Enum."-map/2-lists^map/1-0-"/2',
        "    nofile:1: (file)",
        "the end",
    ]
