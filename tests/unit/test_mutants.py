"""The list of deliberate breaks fits the code, the tests and the promises."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.mutants.mutant import Mutant, NotFoundOnce
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

HERE = Mutant(
    name="an example",
    promise="none",
    module="errors",
    function="Shop.open",
    old="return 1",
    new="return 2",
    killers=(),
)
SOURCE = """
def open():
    return 1

class Shop:
    def open(self):
        if self:
            return 1
        return 3
"""


def _source_of(mutant: Mutant) -> str:
    return mutant.path_in(ROOT).read_text(encoding="utf-8")


def _promises() -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("| promise | kept by | shown by |\n")[2].partition("\n\n")[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[1:]]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_what_is_there(mutant: Mutant) -> None:
    """What each changes is in its function once, and is Python afterwards."""
    source = _source_of(mutant)
    broken = mutant.applied_to(source)
    assert broken != source
    compile(broken, mutant.module, "exec", dont_inherit=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_names_tests_that_are_there(mutant: Mutant) -> None:
    """Each names tests, and each of those is in the tree."""
    assert mutant.killers
    for killer in mutant.killers:
        path, _, name = killer.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"(def|class|Test\w+) {name}\b" if name else "", text), killer


def test_names_are_their_own() -> None:
    """No two mutants have the same name."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)


def test_each_promise_is_broken() -> None:
    """Of each promise of ARCHITECTURE.md there is a mutant, and of nothing else."""
    promises = _promises()
    assert len(promises) > 10
    broken = set()
    for mutant in MUTANTS:
        (promise,) = (text for text in promises if text.startswith(mutant.promise))
        broken.add(promise)
    assert set(promises) - broken == set()


def test_only_the_function_is_changed() -> None:
    """The same text elsewhere in the module stays as it is."""
    broken = HERE.applied_to(SOURCE)
    assert broken == SOURCE[: SOURCE.rindex("return 1")] + (
        "return 2" + SOURCE[SOURCE.rindex("return 1") + len("return 1") :]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"function": "Shop.close"}, "there is no dioptra_worker.errors:Shop.close"),
        ({"old": "return 4"}, "'return 4' 0 times"),
        ({"old": "return"}, "'return' 2 times"),
        ({"function": "open.open"}, "there is no dioptra_worker.errors:open.open"),
    ],
)
def test_what_has_moved_is_said(change: dict[str, str], words: str) -> None:
    """A mutant that does not fit the code says which, where, and what to do."""
    with pytest.raises(NotFoundOnce, match=re.escape(words)) as raised:
        replace(HERE, **change).applied_to(SOURCE)  # type: ignore[arg-type]
    assert "tests/mutants/mutants.py" in str(raised.value)
