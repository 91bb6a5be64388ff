"""Text as the API keeps it is read as html.unescape reads it, and in time."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.api.escaped_text import unescaped

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
_PIECES = (
    *("&", "amp", "lt", "gt", "not", "notin", "copy", "AElig", "frac12", "nbsp"),
    *(";", "#", "x", "X", "0", "9", "41", "1F600", "d800", "110000", " ", "é", "\n"),
)


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_it_is_what_html_says(text: str) -> None:
    """Names with and without their semicolon, numbers, and what only looks like one."""
    assert unescaped(text) == html.unescape(text)


@pytest.mark.parametrize("number", ["1" * 5000, "x" + "f" * 5000])
def test_a_number_that_is_none(number: str) -> None:
    """A number of any length is read: it is no letter's."""
    assert unescaped(f"a&#{number};b") == "a\ufffdb"
    assert unescaped(f"&#{'0' * 5000}65;") == "A"


@pytest.mark.parametrize("piece", ["&amp;", "&x", "&" + "a" * 40])
def test_a_text_full_of_ampersands(piece: str) -> None:
    """A job writes its log, and `html.unescape` takes seconds for a page of that."""
    text = piece * (MIB // len(piece))
    ours, theirs = (_seconds(read, text) for read in (unescaped, html.unescape))
    assert 2 * ours < theirs


def _seconds(read: Callable[[str], str], text: str) -> float:
    since = time.process_time()
    read(text)
    return time.process_time() - since
