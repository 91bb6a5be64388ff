"""What surrounds a job: its packages and its machine."""

from __future__ import annotations

import json
import sys
from collections import UserDict
from importlib.metadata import Distribution, DistributionFinder, PathDistribution
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.surroundings import (
    _listed,
    _origin,
    digest,
    environment,
    packages,
    surroundings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


class Half(Distribution):
    """A package of which an installation that was broken off has left half."""

    def read_text(self, filename: str) -> None:
        """No file of it is there."""

    def locate_file(self, path: Any) -> Any:
        """None is looked for."""
        raise NotImplementedError(path)

    @property
    def metadata(self) -> Any:
        """Its name alone; what is missing raises, as with newer finders."""
        return UserDict({"Name": "half_there"})


class Empty(Half):
    """A package of which a folder is left."""

    @property
    def metadata(self) -> Any:
        """There is none."""
        raise FileNotFoundError


class Finder(DistributionFinder):
    """Finds both."""

    def find_distributions(self, *_: Any) -> Iterator[Distribution]:
        """Find them."""
        yield Half()
        yield Empty()


def test_what_is_left_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is broken in the environment fails no job."""
    before = set(packages())
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert set(packages.__wrapped__()) - before == {"half-there==None"}


def test_packages_are_those_installed() -> None:
    """The list has our own package's dependencies with their versions."""
    found = packages()
    assert list(found) == sorted(set(found))
    assert any(line.startswith("mlflow-skinny==") for line in found)


def test_the_digest_changes_with_a_package() -> None:
    """Equal lists have equal names, and another version another."""
    assert digest(("a==1", "b==2")) == digest(("a==1", "b==2"))
    assert digest(("a==1", "b==2")) != digest(("a==1", "b==3"))


def test_a_list_that_is_too_long_for_a_tag_is_told_where_it_is() -> None:
    """It is whole in the manifest, and the tag says so."""
    many = tuple(f"package-{number}==1.0" for number in range(1000))
    assert _listed(many) == "environment.packages in dioptra/manifest.json"
    assert _listed(many[:2]) == "package-0==1.0 package-1==1.0"


def test_the_lock_names_what_can_be_installed(tmp_path: Path) -> None:
    """A commit of a repository without its password; of a folder, that it is one."""
    found = {}
    for name, body in {
        "repo": {
            "url": "https://ada:secret@git.test/repo",
            "vcs_info": {"vcs": "git", "commit_id": "abc"},
        },
        "wheel": {"url": "https://files.test/wheel-1.whl", "archive_info": {}},
        "local": {"url": "file:///home/ada/local", "dir_info": {}},
        "odd": {"no": "url"},
        "index": None,
    }.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        if body is not None:
            (folder / "direct_url.json").write_text(json.dumps(body))
        found[name] = _origin(PathDistribution(folder))
    assert found == {
        "repo": "git+https://git.test/repo@abc",
        "wheel": "https://files.test/wheel-1.whl",
        "local": "file:///home/ada/local",
        "odd": None,
        "index": None,
    }
    lock = environment().lock.splitlines()
    assert lock[0].startswith("# Python 3.")
    assert any(line.startswith("mlflow-skinny==") for line in lock)


def test_tags_say_where() -> None:
    """Python, system and processor are known everywhere."""
    found = surroundings()
    assert {"dioptra.packages", "dioptra.python", "dioptra.cpu"} <= found.keys()
    assert all(found.values())
