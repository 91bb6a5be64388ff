"""Reading YAML files, with the place of everything in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yaml import MarkedYAMLError

from dioptra_worker import engine
from dioptra_worker.engine.reading.document import _syntax_issue

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.engine.issues import Location

TEXT = """\
tasks:
  make: {plugin: a.b, outputs: {it: any}}
  take:
    plugin: a.c
    inputs:
      - it: any
graph:
  one:
    make: []
  two: {take: [$one]}
base: &base
  x: 1
more:
  <<: *base
  y: 2
"""


def refused(text: str | bytes, folder: Path) -> engine.Issue:
    """Load a file that cannot be read as YAML."""
    file = folder / "entrypoint.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(engine.InvalidGraph) as caught:
        engine.load(file)
    (issue,) = caught.value.issues
    return issue


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("tasks",), (1, 1)),
        (("tasks", "make"), (2, 3)),
        (("tasks", "make", "outputs", "it"), (2, 33)),
        (("tasks", "take", "inputs", 0), (6, 9)),
        (("tasks", "take", "inputs", 0, "it"), (6, 9)),
        (("tasks", "take", "outputs"), (3, 3)),
        (("graph", "two", "take", 0), (10, 16)),
        (("graph", "two", "take", 7), (10, 9)),
        (("graph", "one", "make", 0, "deeper"), (9, 5)),
        (("nowhere",), (1, 1)),
        (("more", "y"), (15, 3)),
    ],
)
def test_places(path: Location, place: tuple[int, int]) -> None:
    """An entry is where its key is; what is not there is where it would be."""
    assert engine.load(TEXT).place(path) == place


def test_the_data_is_what_a_yaml_reader_returns() -> None:
    """Anchors and merge keys are resolved as everywhere."""
    document = engine.load(TEXT)
    assert document.data["more"] == {"x": 1, "y": 2}
    assert document.data["graph"] == {"one": {"make": []}, "two": {"take": ["$one"]}}
    assert document.issues == ()


def test_an_empty_file_is_nothing() -> None:
    """An empty document has no place to point to."""
    document = engine.load("")
    assert document.data is None
    assert document.place(("graph",)) is None
    (issue,) = engine.validate(document)
    assert (issue.line, issue.column) == (None, None)


def test_issues_have_lines() -> None:
    """What validation finds in a file is shown with its line and column."""
    text = TEXT.replace("[$one]", "[$uno]").partition("base:")[0]
    (issue,) = engine.validate(engine.load(text))
    assert (issue.line, issue.column) == (10, 16)
    assert str(issue).startswith("error in line 10, column 16: Step 'two' refers to")


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    """A path is read, in any encoding that YAML allows; a string is text."""
    file = tmp_path / "entrypoint.yml"
    file.write_text("graph: {ä: 1}", encoding="utf-16")
    assert engine.load(file).data == {"graph": {"ä": 1}}
    with pytest.raises(FileNotFoundError):
        engine.load(tmp_path / "nothing.yml")


def test_keys_that_are_given_twice_are_errors() -> None:
    """The second key is pointed at, and the first one's line is named."""
    document = engine.load("a: 1\nb: {c: 1, d: 2,\n  c: 3}\na: 2\n1: x\n1: y\n")
    assert [str(issue) for issue in document.issues] == [
        (
            "error in line 3, column 3: The key 'c' is given twice; the"
            " first time in line 2."
            " Remove or rename one."
        ),
        (
            "error in line 4, column 1: The key 'a' is given twice; the"
            " first time in line 1."
            " Remove or rename one."
        ),
        (
            "error in line 6, column 1: The key 1 is given twice; the"
            " first time in line 5."
            " Remove or rename one."
        ),
    ]


def test_a_key_given_twice_is_reported_beside_other_issues() -> None:
    """Validation reports what was found while reading, in the order of the file."""
    text = TEXT.partition("base:")[0].replace("[$one]", "[$uno]")
    issues = engine.validate(engine.load(text + "  two: {make: []}\n"))
    assert [issue.line for issue in issues] == [11]
    issues = engine.validate(engine.load(text + "  one: {nix: []}\n"))
    assert [issue.line for issue in issues] == [10, 11, 11]
    with pytest.raises(engine.InvalidGraph):
        engine.compile(engine.load(text.replace("uno", "one") + "  one: {make: []}\n"))


def test_several_merge_keys_are_no_doubled_keys() -> None:
    """A merge key is not a key of the mapping."""
    assert (
        engine.load("a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\n").issues == ()
    )


def test_a_key_may_be_a_list() -> None:
    """YAML allows any key; that a list cannot be one in Python is told."""
    with pytest.raises(engine.InvalidGraph, match="unhashable key"):
        engine.load("? [a]\n: 1")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: [1\nb: 2", 2, 2, "This is not valid YAML: "),
        ("a:\n\tb: 1", 2, 1, "Indent with spaces"),
        ("a: !mine 3", 1, 4, "could not determine a constructor for the tag '!mine'"),
        (
            "a: 1\n---\nb: 2",
            2,
            1,
            "but found another document expected a single document",
        ),
        ("a: &x [*x]", 1, 4, "a value contains itself through an alias"),
        ("a: *x", 1, 4, "found undefined alias"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    """A syntax error shows the line and column, and what YAML expected there."""
    issue = refused(text, tmp_path)
    assert (issue.line, issue.column) == (line, column)
    assert message in issue.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: \xff\xfe\xfa", "This cannot be read as YAML: "),
        ("a: 2026-13-45", "This cannot be read as YAML: month must be in 1..12."),
        ("[" * 201, "a value is nested deeper than 200 levels"),
    ],
)
def test_other_damage_is_refused(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    """Bytes, dates and nesting that cannot be read are refused in a sentence."""
    assert message in refused(text, tmp_path).message


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    """What is nested without end is refused, by us or by PyYAML itself (from 6.0.4)."""
    ours = "a value is nested deeper than 200 levels"
    pyyaml = "exceeded maximum nesting depth"
    message = refused("[" * 100_000, tmp_path).message
    assert ours in message or pyyaml in message


def test_aliases_cannot_blow_a_document_up(tmp_path: Path) -> None:
    """A small file that stands for millions of values is refused, not expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    issue = refused("\n".join(lines), tmp_path)
    assert engine.load("\n".join(lines[:3])).issues == ()
    assert "its aliases make it larger than 200000 values" in issue.message


def test_a_syntax_error_without_a_place_is_an_issue_without_a_line() -> None:
    """Where the YAML library knows no place, none is invented."""
    issue = _syntax_issue(MarkedYAMLError(problem="trouble"))
    assert str(issue) == "error: This is not valid YAML: trouble."
