"""Text of others does nothing to a terminal and cannot be taken for a line of ours."""

from __future__ import annotations

import pytest

from dioptra_worker.common.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07done", "done"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;no end", ""),
        ("\x1bc", ""),
        ("\x9b31m", "\\x9b31m"),
        ("a\x07b\x00c\x7f", "a\\x07b\\x00c\\x7f"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("back\rspace", "back\\rspace"),
        ("half \ud83d", "half \\ud83d"),
        ("un\u200bseen", "un\\u200bseen"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("<script>é漢</script>", "<script>é漢</script>"),
    ],
)
def test_harmless(text: str, shown: str) -> None:
    """Nothing that a terminal would obey is left, and nothing else is changed."""
    assert printable.harmless(text) == shown


def test_one_line() -> None:
    """A cell has one line, whatever was written into it."""
    assert printable.one_line(" a\tb\n\x1b[1mc ") == "a b c"


ENDS = [*"\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"]


@pytest.mark.parametrize("end", ENDS)
def test_spelt_out(end: str) -> None:
    """What ends a line, in whatever way, is shown and ends none."""
    text = f"failed{end}12:00 job 4711 finished\x1b[2J\t\u202e\udcff"
    shown = printable.spelt_out(text)
    assert len(shown.splitlines()) == 1
    assert shown.isprintable()
    assert "\\x1b[2J" in shown
    shown.encode()


@pytest.mark.parametrize("end", ENDS)
def test_record_lines(end: str) -> None:
    """Each further line of a record begins with what no record begins with."""
    shown = printable.record_lines(f"one{end}two{end}three")
    first, *others = shown.splitlines()
    assert first.startswith("one")
    assert all(line.startswith(printable.CONTINUED) for line in others)
