"""Issues and the report that collects them."""

from __future__ import annotations

import dataclasses

import pytest

from dioptra_worker.engine.issues import Issue, Location, Report, Severity, show_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("graph",), "graph"),
        (("graph", "train", "fit", 0), "graph.train.fit[0]"),
        (("a", 0, 1, "b"), "a[0][1].b"),
    ],
)
def test_a_path_is_shown_as_people_write_it(path: Location, shown: str) -> None:
    """Keys are joined with dots, and indices are in brackets."""
    assert show_path(path) == shown


def test_an_issue_with_a_line_shows_the_line() -> None:
    """The line and column come before the path, which a file does not need."""
    issue = Issue(Severity.ERROR, "No.", ("graph",), 3, 7)
    assert str(issue) == "error in line 3, column 7: No."


def test_an_issue_without_a_line_shows_the_path() -> None:
    """A document from an API has no lines, so its path says where."""
    assert str(Issue(Severity.WARNING, "Hm.", ("a", 1))) == "warning at a[1]: Hm."


def test_an_issue_about_the_whole_document_shows_no_place() -> None:
    """The root has an empty path, which is not shown."""
    assert str(Issue(Severity.ERROR, "No.")) == "error: No."


def test_an_issue_is_frozen() -> None:
    """Nobody can change an issue after it was found."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Issue(Severity.ERROR, "No.").message = "Yes."  # type: ignore[misc]


def test_a_report_fails_by_errors_only() -> None:
    """A warning does not refuse the document; an error does."""
    report = Report()
    report.warning("Hm.", ())
    assert not report.failed
    report.error("No.", ())
    assert report.failed


def test_a_report_sorts_by_line_and_column() -> None:
    """Issues come in the order of the file, whichever check found them."""
    places: dict[Location, tuple[int, int]] = {
        ("b",): (2, 5),
        ("a",): (2, 1),
        ("c",): (1, 9),
    }
    report = Report(places.get)
    for path in places:
        report.error(str(path[0]), path)
    assert [issue.message for issue in report.issues] == ["c", "a", "b"]


def test_a_report_without_lines_keeps_the_order() -> None:
    """Where there are no lines, issues come in the order in which they were found."""
    report = Report()
    for word in ("b", "a", "c"):
        report.error(word, ())
    assert [issue.message for issue in report.issues] == ["b", "a", "c"]
