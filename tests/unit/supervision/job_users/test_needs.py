"""What a job may have relied on as the worker's user, as far as it can be seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.supervision.job_users.needs import (
    needs_of_all_jobs,
    needs_of_the_workers_user,
    within_our_rights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

READ, USE, CHANGE = os.R_OK, os.R_OK | os.X_OK, os.R_OK | os.W_OK | os.X_OK


def _seen(
    tmp_path: Path, variables: Mapping[str, str], *, private: Sequence[str] = ()
) -> dict[str, int]:
    """What is asked for below a test's folder, whose home is in it."""
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "mounts").touch()
    found = needs_of_the_workers_user(
        {"HOME": str(tmp_path / "home"), **variables},
        private=[tmp_path / name for name in private],
        mounts=tmp_path / "mounts",
    )
    return {
        need.path.removeprefix(f"{tmp_path}/"): need.rights
        for need in found
        if need.path.startswith(str(tmp_path))
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATA", "{}/data", {"data": USE}),
        ("LABELS", "{}/data/labels.csv", {"data/labels.csv": READ}),
        ("PATH", "/bin:{0}/data:{0}/missing", {"data": USE}),
        ("HF_HOME", "{}/data", {"data": CHANGE}),
        ("NUMBA_CACHE_DIR", "{}/data/not/yet", {"data": CHANGE}),
        ("MLFLOW_TRACKING_URI", "file://{}/data", {"data": CHANGE}),
        ("MLFLOW_TRACKING_URI", "http://host/{}/data", {}),
        ("DIOPTRA_WORKER_ANYTHING", "{}/data", {}),
        ("AWS_SECRET_ACCESS_KEY_FILE", "{}/data/labels.csv", {}),
        ("PWD", "{}/data", {}),
        ("LONG", "/" + "x" * 5000, {}),
    ],
)
def test_what_variables_name(
    name: str, value: str, expected: dict[str, int], tmp_path: Path
) -> None:
    """Jobs read it, and write where the variable is that of a cache or an address."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").touch()
    assert _seen(tmp_path, {name: value.format(tmp_path)}) == expected


def test_what_is_in_the_workers_home(tmp_path: Path) -> None:
    """What is not hidden counts, and keys of SSH, but nothing of the worker's own."""
    for name in ("data", ".cache", ".ssh", "jobs/cache", "other/secrets"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home/.ssh/key").touch()
    (tmp_path / "home/other/secrets/password").touch()
    private = ("home/jobs", "home/other/secrets/password")
    assert _seen(tmp_path, {}, private=private) == {
        "home/data": CHANGE,
        "home/.ssh": CHANGE,
        "home/.ssh/key": READ | os.W_OK,
    }


def test_what_is_no_volume(tmp_path: Path) -> None:
    """No file system of the kernel's, no folder of the system's, nothing in a home."""
    line = "1 2 0:1 / {} rw shared:1 - {} /dev/x rw\n".format
    mounts = line(tmp_path, "ext4") + line(tmp_path / "home/x", "ext4") + "odd\n"
    (tmp_path / "mounts").write_text(mounts + line("/usr", "cgroup2"))
    found = needs_of_the_workers_user({}, private=[], mounts=tmp_path / "mounts")
    assert [need for need in found if "mounted" in need.why] == []


def test_nobody_needs_more_than_the_worker_has(tmp_path: Path) -> None:
    """What the worker cannot change either, jobs have not changed."""
    found = next(
        need
        for need in needs_of_all_jobs({"SSL_CERT_FILE": str(tmp_path)})
        if need.path == str(tmp_path)
    )
    assert found.rights == USE
    gone = found._replace(path=str(tmp_path / "gone"))
    assert within_our_rights(gone).rights == 0
    assert within_our_rights(found) == found
