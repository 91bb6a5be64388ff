"""What people write as YAML is read, or is one kind of error."""

from __future__ import annotations

import io

import pytest

from dioptra_worker.common.text import plain_yaml


def test_values() -> None:
    """Text, bytes and files are read alike."""
    for source in ("a: [1, x]", b"a: [1, x]", io.StringIO("a: [1, x]")):
        assert plain_yaml.load(source) == {"a": [1, "x"]}


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: !!bool abc",
        "a: !!timestamp abc",
        "a: 2024-13-45",
        "a: !!python/name:os.system",
        b"a: \xff",
        "[" * 3000,
        "a: 0x" + "f" * 6000 + "\n? [b]\n",
    ],
)
def test_what_cannot_be_read(text: str | bytes) -> None:
    """Whatever the parser makes of it."""
    with pytest.raises(plain_yaml.NotYaml):
        plain_yaml.load(text)
