"""Lines and columns of what stands in a TOML file."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dioptra_worker.tools.resources.config_file.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = """\
top = 1 # a = b

[[plugins]]
path = 'a"]b'
text = \"\"\"
[no.table]
"" = 1 \\\"\"\" \"\"\"
  [[plugins.tasks.functions]]
  "quoted key" = [{ name = "x", type = "y" }, # ]
    { name = "z" , n.m = 1979-05-27 07:32:00 },
  ]
  [[plugins.tasks.functions]]
  f = -1.5e3
[[plugins]]
path = "b"
[plugins.tasks]
x = {}
"""

PLACES = {
    ("top",): (1, 1),
    ("plugins", 0): (3, 1),
    ("plugins", 0, "path"): (4, 1),
    ("plugins", 0, "tasks", "functions", 0): (8, 3),
    ("plugins", 0, "tasks", "functions", 0, "quoted key"): (9, 3),
    ("plugins", 0, "tasks", "functions", 0, "quoted key", 0, "type"): (9, 33),
    ("plugins", 0, "tasks", "functions", 0, "quoted key", 1): (10, 5),
    ("plugins", 0, "tasks", "functions", 0, "quoted key", 1, "n", "m"): (10, 20),
    ("plugins", 0, "tasks", "functions", 1, "f"): (13, 3),
    ("plugins", 1, "path"): (15, 1),
    ("plugins", 1, "tasks", "x"): (17, 1),
}


def test_every_kind_of_entry() -> None:
    """Tables, lists, quoted keys, comments and long texts are all understood."""
    found = Places(TEXT)
    tomllib.loads(TEXT)
    assert {path: found.place(path) for path in PLACES} == PLACES


def test_what_is_not_there_is_where_it_would_be() -> None:
    """A key that is missing has the place of its table; the whole file has none."""
    found = Places(TEXT)
    assert found.place(("plugins", 1, "tasks", "functions", 3)) == (16, 1)
    assert found.place(("nothing",)) is None


KEYS = st.text("ab-_1", min_size=1) | st.text('a"\\ .[', min_size=1)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text('a"\\ []{}=,#.'),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        )
    return str(value)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from _paths(inner, (*path, key))


@given(st.dictionaries(KEYS, VALUES))
@settings(max_examples=60, deadline=None)
def test_whatever_the_reader_takes_has_places(data: dict[str, Any]) -> None:
    """Each entry has the line of its own key, whatever stands before it."""
    text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in data.items())
    assert tomllib.loads(text) == data
    found = Places(text)
    for number, key in enumerate(data, start=1):
        assert found.place((key,)) == (number, 1)
    for path in _paths(data):
        place = found.place(path)
        assert place is not None
        assert place[0] == list(data).index(path[0]) + 1
        assert len(path) == 1 or place[1] > 1
