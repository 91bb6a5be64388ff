"""Imports without a look for garbage."""

from __future__ import annotations

import gc

import pytest

from dioptra_worker.common.garbage import uncollected


def test_none_is_looked_for_until_the_end() -> None:
    """Collections are off in the block, on after it, and leave alone what was made."""
    with uncollected():
        assert not gc.isenabled()
        made: list[object] = [[]]
        assert any(entry is made for entry in gc.get_objects())
    assert gc.isenabled()
    assert not any(entry is made for entry in gc.get_objects())


def test_who_looks_for_none_goes_on_so() -> None:
    """Where collections are off already, they stay off."""
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_failure_turns_collections_on_again() -> None:
    """An import that fails changes nothing for what follows."""
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
