"""Data set workers on a laptop, with what lies in ``--extras-dir``."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.batch import Dataset, DatasetWorker, Set

if TYPE_CHECKING:
    from pathlib import Path


class Seen(DatasetWorker):
    """Keeps the names of files that it has seen, and whether more than one is there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[str]] = {}

    def process_set(self, item: Set) -> None:
        """Keep them."""
        self.seen[item.id] = sorted(entry.name for entry in item.path.iterdir())


def _archive(file: Path, *names: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())


def _run(monkeypatch: pytest.MonkeyPatch, extras: Path, *sets: str) -> Seen:
    worker = Seen()
    arguments = ["worker", "--extras-dir", str(extras), "--set", *sets]
    monkeypatch.setattr("sys.argv", arguments)
    worker.run()
    return worker


@pytest.mark.parametrize("place", ["dataset-12.tar.gz", "dataset-12/contents.tar.gz"])
def test_an_archive_that_is_there(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used, without any API, and stays; what was unpacked of it does not."""
    _archive(tmp_path / place, "ds/train/0.json", "ds/train/1.json", "ds/test/0.json")
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        worker = _run(monkeypatch, tmp_path, "12:train", "12:test")
        assert worker.seen == {"12:train": ["0.json", "1.json"], "12:test": ["0.json"]}
        assert worker.downloaded_dataset_artifact is None
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("inner", ["train", "ds/train", "contents/ds/train"])
def test_a_folder_that_is_there(
    inner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used as it is, and stays."""
    file = tmp_path / "dataset-12" / inner / "0.json"
    file.parent.mkdir(parents=True)
    file.touch()
    assert _run(monkeypatch, tmp_path, "12:train").seen == {"12:train": ["0.json"]}
    assert file.exists()


def test_one_data_set_after_the_other(tmp_path: Path) -> None:
    """One is on disk at a time, and is not unpacked twice in a row."""
    for number in (1, 2):
        _archive(tmp_path / f"dataset-{number}.tar.gz", "ds/train/0.json")
    worker = Seen()
    worker.args = worker.parser.parse_args(["--extras-dir", str(tmp_path)])
    worker.download_dataset_artifact(Dataset(1))
    first = worker.downloaded_dataset_artifact
    worker.download_dataset_artifact(Dataset(1))
    assert worker.downloaded_dataset_artifact == first
    worker.download_dataset_artifact(Dataset(2))
    assert first is not None
    assert not first.exists()
    worker.cleanup_downloaded_artifact()
    assert not list(tmp_path.glob(".dataset-*"))


def test_an_archive_that_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The file is named, and what to do with it."""
    (tmp_path / "dataset-12.tar.gz").write_bytes(b"no archive")
    with pytest.raises(SystemExit) as caught:
        _run(monkeypatch, tmp_path, "12:train")
    assert caught.value.code == 1
    assert "Remove it to have data set 12 downloaded" in caplog.text
