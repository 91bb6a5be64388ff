"""The list of a folder in S3 has an end, whatever the store says."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.errors import ArtifactError
from dioptra_worker.tracking.s3 import download

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def _listed(pages: Iterable[dict[str, Any]], folder: Path, files: int) -> list[str]:
    pager = SimpleNamespace(paginate=lambda **_: pages)
    client: Any = SimpleNamespace(get_paginator=lambda _: pager)
    limits: Any = SimpleNamespace(files=files)
    found = download._list_objects(client, "b", "k", folder, limits)
    return [item.key for item in found]


@pytest.mark.parametrize("page", [{}, {"Contents": [{"Key": "k/"}, {"Key": "k/a/"}]}])
def test_pages_without_a_file(page: dict[str, Any], tmp_path: Path) -> None:
    """One without an end is refused; some between others are no trouble."""
    with pytest.raises(ArtifactError, match="without an end"):
        _listed(itertools.repeat(page), tmp_path, 9)
    full = {"Contents": [{"Key": "k/x", "Size": 1, "ETag": "e"}]}
    assert _listed([page, full, page], tmp_path, 1) == ["k/x"]
    with pytest.raises(ArtifactError, match="more than 1 files"):
        _listed([full, page, full], tmp_path, 1)
