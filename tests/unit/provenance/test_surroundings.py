"""What surrounds a job: its packages and its machine."""

from __future__ import annotations

from dioptra_worker.provenance.surroundings import digest, packages, surroundings


def test_packages_are_those_installed() -> None:
    """The list has our own package's dependencies with their versions."""
    found = packages()
    assert list(found) == sorted(set(found))
    assert any(line.startswith("mlflow-skinny==") for line in found)


def test_the_digest_changes_with_a_package() -> None:
    """Equal lists have equal names, and another version another."""
    assert digest(("a==1", "b==2")) == digest(("a==1", "b==2"))
    assert digest(("a==1", "b==2")) != digest(("a==1", "b==3"))


def test_tags_say_where() -> None:
    """Python, system and processor are known everywhere."""
    found = surroundings()
    assert {"dioptra.packages", "dioptra.python", "dioptra.cpu"} <= found.keys()
    assert all(found.values())
