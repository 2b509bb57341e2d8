"""Expressions for `rpc` and `eval`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from warpbeam.error import Misuse
from warpbeam.helper.program import MOST_EXPRESSION
from warpbeam.operate.console import piped_expression
from warpbeam.operate.evaluate import read_expression


class Endless(io.RawIOBase):
    """Standard input that never ends; `given` is how much of it was read."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.given += len(buffer)
        return len(buffer)


def test_a_word_is_the_expression_and_a_dash_means_standard_input() -> None:
    assert read_expression("1 + 1", io.BytesIO(b"2")) == "1 + 1"
    assert read_expression("-", io.BytesIO('"\u00e9"\n'.encode())) == '"\u00e9"\n'


@pytest.mark.parametrize(("word", "given"), [("-", b""), ("-", b" \n"), ("", b"1"), ("  ", b"1")])
def test_no_expression_is_refused_here_and_not_by_elixir(word: str, given: bytes) -> None:
    with pytest.raises(Misuse, match="there is no expression on"):
        read_expression(word, io.BytesIO(given))


@pytest.mark.parametrize("given", [b"", b" \n"])
def test_a_console_without_a_terminal_and_without_input_names_rpc(given: bytes) -> None:
    with pytest.raises(Misuse, match="needs a terminal") as refused:
        piped_expression(io.BytesIO(given))
    assert "`fab ENV rpc EXPRESSION`" in refused.value.hint
    assert piped_expression(io.BytesIO(b"1 + 1\n")) == "1 + 1\n"


def test_as_much_as_a_helper_takes_is_read_and_not_a_byte_more() -> None:
    assert len(read_expression("-", io.BytesIO(b"1" * MOST_EXPRESSION))) == MOST_EXPRESSION
    with pytest.raises(Misuse, match=f"expected an expression of at most {MOST_EXPRESSION} bytes"):
        read_expression("-", io.BytesIO(b"1" * (MOST_EXPRESSION + 1)))


def test_what_never_ends_is_refused_without_being_read_for_long() -> None:
    endless = Endless()

    with pytest.raises(Misuse, match="there is more"):
        read_expression("-", io.BufferedReader(endless))
    assert endless.given < 2 * MOST_EXPRESSION


def test_what_is_no_text_is_refused_with_the_place() -> None:
    with pytest.raises(Misuse, match=r"expected UTF-8 on standard input, found something else at byte 2"):
        read_expression("-", io.BytesIO(b'"a\xff"'))
