"""Large files: sent in parts, and read once."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from tests.plugins.insisting_store import (
    TAG_OF_PARTS,
    InsistingStore,
    insisting_store,
)

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tracking.s3.part_size import (
    CHUNK_SIZE,
    MAX_PARTS,
    MULTIPART_THRESHOLD,
    transfer_of,
)
from dioptra_worker.tracking.s3.upload import S3Store
from dioptra_worker.tracking.upload_digests import UploadDigests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")
URI = "s3://bucket/0/run/artifacts"
DATA = os.urandom(MULTIPART_THRESHOLD + 1)


@pytest.fixture(name="store")
def _store(monkeypatch: pytest.MonkeyPatch) -> Iterator[InsistingStore]:
    for name in os.environ:
        if name.upper().endswith("_PROXY") or name.startswith(("AWS_", "MLFLOW_S3_")):
            monkeypatch.delenv(name)
    with insisting_store(lambda _: True) as store:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "worker")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        yield store


@pytest.fixture(name="model")
def _model(tmp_path: Path) -> Path:
    """A folder with a file that goes in parts, and one that does not."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(DATA)
    (model / "about.html").write_bytes(b"small")
    return model


def test_what_is_sent_is_what_is_told(store: InsistingStore, model: Path) -> None:
    """The store has a large file as it was, of which its own tag is noted."""
    digests = UploadDigests(model, part_size=S3Store.part_size)
    S3Store(URI).put(model, "", digests=digests)
    kept = {path.rpartition("/")[2]: it for (_, path), it in store.objects.items()}
    assert kept == {"weights.bin": DATA, "about.html": b"small"}
    small, large = digests.files()
    assert (large.path, large.size) == ("weights.bin", len(DATA))
    assert large.sha256 == hashlib.sha256(DATA).hexdigest()
    assert large.etag == TAG_OF_PARTS.strip('"')
    assert small.etag == hashlib.md5(b"small", usedforsecurity=False).hexdigest()


def test_without_digests(store: InsistingStore, model: Path) -> None:
    """A file is sent alike where nobody asks for its digest; in two parts."""
    S3Store(URI).put(model / "weights.bin", "")
    assert list(store.objects.values()) == [DATA]
    sizes = {number: len(part) for (_, number), part in store.parts.items()}
    assert sizes == {1: CHUNK_SIZE, 2: 1}


@pytest.mark.usefixtures("store")
def test_a_file_that_cannot_be_read(model: Path) -> None:
    """It fails as any upload does, and nothing is said of it."""
    digests = UploadDigests(model, part_size=S3Store.part_size)
    opened = digests.open

    def gone(file: Path) -> object:
        file.unlink()
        return opened(file)

    digests.open = gone  # type: ignore[method-assign,assignment]
    with pytest.raises(ServiceRefused, match="did not take 'model'"):
        S3Store(URI).put(model, "", digests=digests)
    assert [file.path for file in digests.files()] == ["about.html"]


@pytest.mark.parametrize("parts", [1, MAX_PARTS, MAX_PARTS + 1, 5 * MAX_PARTS])
def test_no_file_has_more_parts_than_s3_takes(parts: int) -> None:
    """What is too large for that goes in larger ones."""
    size = parts * CHUNK_SIZE
    assert -(-size // transfer_of(size).multipart_chunksize) <= MAX_PARTS
