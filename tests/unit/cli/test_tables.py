"""Tables for people and for programs."""

from __future__ import annotations

from dioptra_worker.cli import tables

ROWS = [("ID", "NAME"), ("7", "a name that is long"), ("12", "漢字")]


def test_tabbed() -> None:
    """A program gets every cell whole, with one tab between two."""
    assert tables.tabbed(ROWS) == [
        "ID\tNAME",
        "7\ta name that is long",
        "12\t漢字",
    ]


def test_aligned() -> None:
    """Columns begin below each other."""
    lines = ["".join(row) for row in tables.aligned(ROWS, width=80)]
    assert lines == ["ID  NAME", "7   a name that is long", "12  漢字"]


def test_cut() -> None:
    """The longest column gives way when the terminal is narrow."""
    lines = ["".join(row) for row in tables.aligned(ROWS, width=14)]
    assert lines == ["ID  NAME", "7   a name th…", "12  漢字"]


def test_elastic() -> None:
    """What may give way gives way first, and then the others."""
    rows = [("a long status", "a long name", "x" * 30)]
    (cells,) = tables.aligned(rows, width=48, elastic=[1, 2])
    assert cells == ["a long status  ", "a long name  ", "x" * 19 + "…"]
    (cells,) = tables.aligned(rows, width=30, elastic=[1, 2])
    assert cells == ["a long st…  ", "a long …  ", "xxxxxxx…"]


def test_wide_letters() -> None:
    """A letter that takes two columns counts as two."""
    assert tables.columns("漢字a") == 5
    assert tables.columns("e\N{COMBINING ACUTE ACCENT}") == 1
    assert tables.cut("漢字漢字", 5) == "漢字…"
    assert tables.padded("漢", 4) == "漢  "


def test_nothing() -> None:
    """A table without rows has no lines."""
    assert tables.aligned([], width=80) == []
