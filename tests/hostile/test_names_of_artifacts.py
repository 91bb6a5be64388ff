"""A file may have any name that its system lets it have; stores and addresses may not.

Attack: artifacts whose names are no text, have control characters, or are two that
another disk takes for one. Promise: an artifact is stored and comes back as it was, or
its job fails with a sentence that names the file; nothing is renamed or lost silently.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files.archives import unpack
from dioptra_worker.errors import ArtifactError, BundleError, ServiceRefused
from dioptra_worker.runner.job import JobFailed, checked_path
from dioptra_worker.tracking.artifact_store import MlflowStore
from dioptra_worker.tracking.limits import refuse_twins
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from pathlib import Path

ODD = os.fsdecode(b"b\xff.txt")


def _check(path: object, folder: Path) -> Path:
    return checked_path(path, folder=folder, task="Text", name="kept")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (ODD, "is not UTF-8"),
        ("a\nb", "has control characters"),
        ("a\tb", "has control characters"),
        ("a\x1b[31m", "has control characters"),
        ("a#b", "has '\\?' or '#'"),
    ],
)
def test_an_address_that_nobody_finds(name: str, words: str, tmp_path: Path) -> None:
    """The name of an artifact's file is the end of its address."""
    try:
        (tmp_path / name).write_text("x")
    except OSError:
        pytest.skip("the disk takes no such name")
    with pytest.raises(JobFailed, match=f"wrote '[^']*' for 'kept', and .*{words}"):
        _check(name, tmp_path)


@pytest.mark.parametrize("name", ["ä", "e\u0301", " a", "...", "a\\b", "n" * 255, "😀"])
def test_names_that_are_taken(name: str, tmp_path: Path) -> None:
    """All others are what they are."""
    (tmp_path / name).write_text("x")
    assert _check(name, tmp_path) == (tmp_path / name).resolve()
    assert files_to_upload(tmp_path, service="S3") == [tmp_path / name]


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    """What it leads to is stored under it, whatever that is called."""
    job = tmp_path.resolve() / "job"
    (job / "made/a\tb").mkdir(parents=True)
    (job / "made/a\tb/data").write_text("x")
    (job / "kept").symlink_to("made/a\tb")
    for path in ("kept", "kept/", job / "kept", "made/../kept"):
        assert _check(path, job) == job / "kept"
    assert [file.name for file in files_to_upload(job / "kept", service="S3")] == [
        "data"
    ]
    (job / "a#b").symlink_to("kept")
    with pytest.raises(JobFailed, match="wrote 'a#b' for 'kept'"):
        _check("a#b", job)


def test_a_link_of_somebody_else_gives_no_name(tmp_path: Path) -> None:
    """Only what lies in the job's folder is stored, by a name in there."""
    job = tmp_path.resolve() / "job"
    (job / "data").mkdir(parents=True)
    (tmp_path / "outside").symlink_to(job / "data")
    assert _check(tmp_path / "outside", job) == job / "data"
    assert _check("data/..", job) == job


@pytest.mark.parametrize("path", ["a\0b", "n" * 5000, "loop/x", "../other", 7, b"a"])
def test_what_is_no_path_of_the_job_s(path: object, tmp_path: Path) -> None:
    """Whatever a serialiser returns in place of a path is told."""
    (tmp_path / "job").mkdir()
    (tmp_path / "job/loop").symlink_to("loop")
    (tmp_path / "other").write_text("x")
    with pytest.raises(JobFailed, match=r"artifact task 'Text' (returned|must return)"):
        _check(path, tmp_path / "job")


def test_a_folder_with_a_file_that_no_store_can_name(tmp_path: Path) -> None:
    """It is refused before anything is sent, with the file's bytes."""
    (tmp_path / "model").mkdir()
    try:
        (tmp_path / "model" / ODD).write_text("x")
    except OSError:
        pytest.skip("the disk takes no such name")
    with pytest.raises(ServiceRefused, match=r"b'model/b\\xff.txt' cannot be stored"):
        files_to_upload(tmp_path / "model", service="S3")


@pytest.mark.parametrize("name", ["a\x01b", "a\tb", "a\rb", " a", "a%2eb", "\x7f", ODD])
def test_what_mlflow_would_rename(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An MLflow that passes artifacts on makes other names of some."""
    (tmp_path / "model").mkdir()
    try:
        (tmp_path / "model" / name).write_text("x")
    except OSError:
        pytest.skip("the disk takes no such name")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    store = MlflowStore("mlflow-artifacts:/0/abc/artifacts")
    with pytest.raises(ServiceRefused, match=r"would keep .* under another name"):
        store.put(tmp_path / "model" / name, "kept")


def test_two_names_of_one_file(tmp_path: Path) -> None:
    """Where a disk makes one file of two that a store has, one of them is lost."""
    (tmp_path / "A").write_text("x")
    (tmp_path / "a").hardlink_to(tmp_path / "A")
    with pytest.raises(ArtifactError, match="'A' and 'a' are one file on this disk"):
        refuse_twins({"A": tmp_path / "A", "a": tmp_path / "a"})
    refuse_twins({"A": tmp_path / "A"})


def test_an_archive_with_a_file_twice(tmp_path: Path) -> None:
    """Which of them would count is nothing that an honest archive leaves open."""
    archive = tmp_path / "bundle"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("pkg/a.py", "pkg/b.py", "./pkg/a.py"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(BundleError, match=r"holds './pkg/a.py' twice"):
        unpack(archive, tmp_path / "target", what="the bundle")
