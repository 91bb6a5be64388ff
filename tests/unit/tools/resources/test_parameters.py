"""Values for parts of mappings, and values from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.tools.resources.parameters import NotOfType, nested, read_values

if TYPE_CHECKING:
    from pathlib import Path

A = {"b": 0, "c": [2]}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"n": "1"}, {"n": "1"}),
        ({"a.b": "1"}, {"a": {"b": 1, "c": [2]}}),
        ({"a.d": "x y"}, {"a": {"b": 0, "c": [2], "d": "x y"}}),
        ({"a": '{"e": 5}', "a.f": "true"}, {"a": {"e": 5, "f": True}}),
        (
            {"a.g.h": "1", "a.g.i": "2"},
            {"a": A | {"g": {"h": 1, "i": 2}}},
        ),
        ({"new.b": "null"}, {"new": {"b": None}}),
    ],
)
def test_entries_of_mappings(given: dict[str, Any], found: dict[str, Any]) -> None:
    """An entry is put into what is given, or else into the default, which stays."""
    defaults = {"a": '{"b": 0, "c": [2]}', "n": 3}
    assert nested(given, defaults) == found
    assert defaults["a"] == '{"b": 0, "c": [2]}'


@pytest.mark.parametrize("given", [{"n.b": "1"}, {"a.b.c": "1"}, {"t.b": "1"}])
def test_no_mapping(given: dict[str, str]) -> None:
    """What is no mapping has no entries."""
    with pytest.raises(NotOfType, match="is no mapping, so it has no"):
        nested(given, {"n": 3, "a": {"b": 1}, "t": "text"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.json", '{"n": 3, "a": {"b": [1]}}'),
        ("v.yml", "n: 3\na: {b: [1]}\n"),
        ("v.toml", "n = 3\n[a]\nb = [1]\n"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    """The same values from each form."""
    (tmp_path / name).write_text(text)
    assert read_values(tmp_path / name) == {"n": 3, "a": {"b": [1]}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.json", b"[1]"),
        ("v.yml", b"a: ["),
        ("v.toml", b"a = "),
        ("v.yml", b"\xff\xfe\x00"),
        ("v.yml", b""),
        ("v.yml", b"1: 2"),
    ],
)
def test_files_without_values(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that has none is named, in one line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_values(tmp_path / name)
    assert "\n" not in str(caught.value)
