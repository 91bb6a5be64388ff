"""Tests of the helpers that older plugins import."""

from __future__ import annotations

from pathlib import Path

import pytest

from dioptra_worker.sdk.exceptions import TensorflowDependencyError
from dioptra_worker.sdk.helpers import require_package, set_cwd, set_path_ext


def test_a_function_that_needs_a_package_says_which() -> None:
    """A missing package is named with the function, in the chosen kind of error."""

    @require_package("no_such_package_at_all", exc_type=TensorflowDependencyError)
    def train() -> int:
        return 1

    with pytest.raises(TensorflowDependencyError, match=r"train\(\) needs .*no_such"):
        train()


def test_a_function_whose_package_is_there_just_runs() -> None:
    """With the package installed, arguments and results pass through."""

    @require_package("json", "never said")
    def double(x: int) -> int:
        """Double it."""
        return 2 * x

    assert (double(2), double.__doc__) == (4, "Double it.")


@pytest.mark.parametrize(
    ("path", "suffix", "expected"),
    [
        ("a/b.tar.gz", "zip", "a/b.zip"),
        ("a/b", ".npy", "a/b.npy"),
        ("b.txt", "tar.gz", "b.tar.gz"),
    ],
)
def test_all_suffixes_are_replaced(path: str, suffix: str, expected: str) -> None:
    """Every suffix of a name gives way to the new one."""
    assert set_path_ext(path, suffix) == Path(expected)


def test_the_current_directory_comes_back(tmp_path: Path) -> None:
    """The directory changes for the block only."""
    before = Path.cwd()
    with set_cwd(tmp_path):
        assert Path.cwd() == tmp_path
    assert Path.cwd() == before
