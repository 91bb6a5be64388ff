"""The page that says where ideas of other platforms are names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/concepts.md"


def test_every_row_has_its_test() -> None:
    """Each row ends with a test that is there."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.endswith("| shown by |")]
    assert len(rows) > 30
    for row in rows:
        found = re.search(r"\| `(tests/\S+\.py)::(\w+)` \|$", row)
        assert found is not None, row
        file, name = found.groups()
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), row
