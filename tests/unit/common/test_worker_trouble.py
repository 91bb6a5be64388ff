"""What is a worker's own trouble, and what a job's."""

from __future__ import annotations

import errno
import os

import pytest

from dioptra_worker.common.worker_trouble import is_worker_trouble
from dioptra_worker.errors import ArtifactError, BundleError, RunnerError, WorkerTrouble


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _made_of(error: Exception) -> Exception:
    made = ArtifactError("an input cannot be used")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    "error",
    [
        *map(_error, [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN]),
        *map(_error, [errno.ENOSPC, errno.EROFS, errno.ENOENT, errno.EACCES]),
        MemoryError(),
        RunnerError("no fork server can be started"),
        WorkerTrouble("can't start new thread"),
        _made_of(_error(errno.ENOSPC)),
        PermissionError("somebody else could change what is in a folder"),
    ],
    ids=repr,
)
def test_trouble_of_the_worker(error: Exception) -> None:
    """What any job needs is missing, or a folder of the worker's."""
    assert is_worker_trouble(error)


@pytest.mark.parametrize(
    "error",
    [
        _error(errno.ENAMETOOLONG),
        _error(errno.ENOTDIR),
        BundleError("it is no archive"),
        ArtifactError("it was deleted"),
        _made_of(_error(errno.EILSEQ)),
    ],
    ids=repr,
)
def test_trouble_of_the_job(error: Exception) -> None:
    """What comes of the job's own data is the same at every worker."""
    assert not is_worker_trouble(error)
