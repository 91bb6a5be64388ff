"""An MLflow that passes artifacts on says what there is, and sends it: both may lie.

Attack: listings with names that lead elsewhere, without end, or of another shape; files
that are shorter than was said; a second listing that is not the first. Promise: files
that were named, inside the artifact's own folder, or an error of ours in a sentence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.plugins.hostile_server import Conversation, hostile_server

from dioptra_worker.errors import ArtifactError, ServiceError
from dioptra_worker.tracking.limits import Limits
from dioptra_worker.tracking.mlflow.download import fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URI = "mlflow-artifacts:/0/abc/artifacts/model"


class _Listener:
    def begin(self, size: int) -> None:
        pass

    def received(self, count: int) -> None:
        pass


def _file(path: str, size: Any = 4, *, is_dir: Any = False) -> dict[str, Any]:
    return {"path": path, "is_dir": is_dir, "file_size": size}


def _fetch(
    listing: Callable[[str, int], Any],
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    body: bytes = b"real",
) -> None:
    """Fetch an artifact of a server that lists what *listing* says of a folder."""
    asked: dict[str, int] = {}

    def act(them: Conversation) -> None:
        parts = urlsplit(them.head.split(" ")[1])
        folder = parse_qs(parts.query).get("path", [""])[0]
        if not folder:
            them.answer(body)
            return
        inside = folder.removeprefix("0/abc/artifacts/")
        asked[inside] = asked.get(inside, 0) + 1
        told = listing(inside, asked[inside])
        data = told if isinstance(told, bytes) else json.dumps({"files": told}).encode()
        them.answer(data, "Content-Type: application/json")

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with hostile_server(act) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        limits = Limits(files=20, size=1000)
        fetch(URI, target, is_dir=True, limits=limits, listener=_Listener())


LISTINGS: dict[str, Callable[[str, int], Any]] = {
    "above": lambda *_: [_file("../../evil")],
    "absolute": lambda *_: [_file("/tmp/evil")],  # noqa: S108
    "quoted": lambda *_: [_file("%2e%2e/%2e%2e/evil")],
    "an empty name": lambda *_: [_file("a//b")],
    "folders in each other": lambda *_: [_file("d", is_dir=True)],
    "folders without end": lambda f, _: (
        [_file(f"d{n}", is_dir=True) for n in range(50)] if "/" not in f else []
    ),
    "files without end": lambda *_: [_file(f"f{n}") for n in range(500)],
    "a file and a folder": lambda *_: [_file("a"), _file("a/b")],
    "a size that is none": lambda *_: [_file("a", "many")],
    "a size below zero": lambda *_: [_file("a", -4)],
    "a size without end": lambda *_: [_file("a", 1 << 70)],
    "another size": lambda *_: [_file("a", 5)],
    "nothing": lambda *_: [],
    "numbers": lambda *_: [5],
    "no names": lambda *_: [{"is_dir": False}],
    "a list": lambda *_: b"[]",
    "no JSON": lambda *_: b"<html>",
    "nesting": lambda *_: b'{"files":' * 9000,
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_that_lies(
    listing: Callable[[str, int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error of ours, and there is no file but in the place for it."""
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises((ArtifactError, ServiceError)):
        _fetch(listing, place / "target", monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert not (place / "target").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_it_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server says the second time, when nobody looks, is not fetched."""

    def listing(folder: str, time: int) -> list[dict[str, Any]]:
        del folder
        return [_file("a")] if time == 1 else [_file("a"), _file("b")]

    _fetch(listing, tmp_path / "target", monkeypatch)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["a"]
    assert (tmp_path / "target/a").read_bytes() == b"real"
